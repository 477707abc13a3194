CREATE TABLE api_keys (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    digest          bytea NOT NULL,
    grants          text NOT NULL,
    created_at_ms   bigint NOT NULL,
    expires_at_ms   bigint,
    revoked_at_ms   bigint,
    last_used_at_ms bigint
);
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at_ms IS NULL;

CREATE TABLE audit (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE,
    at_ms      bigint NOT NULL,
    actor      text,
    address    text,
    action     text NOT NULL,
    target     text,
    repository text,
    outcome    text NOT NULL,
    detail     text,
    count      bigint NOT NULL
);
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'the record of what was done is only added to'; END$$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
