//! Creates a run, or finds the one that was created before.

use pullwright_core::store::{Created, NewRun, StoreError};
use pullwright_protocol::RunId;
use sqlx::PgConnection;

use crate::store::failure::refused;
use crate::store::op::{NEW_RUN_LEASE, Reply};

const INSERT: &str = "INSERT INTO runs \
       (id, request, owner, idempotency_key, created_at_ms, leased_until_ms) \
     VALUES ($1, $2, $3, $4, $5, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $6) \
     ON CONFLICT DO NOTHING";
const EARLIER: &str = "SELECT id, request, owner, idempotency_key FROM runs \
     WHERE (idempotency_key = $1 AND coalesce(owner, '') = coalesce($2, '')) OR id = $3 \
     ORDER BY id = $3 DESC LIMIT 1";

/// A run's id, request, owner and key.
type Earlier = (String, String, Option<String>, Option<String>);
type Applied = Result<Result<Reply, StoreError>, sqlx::Error>;

/// Another server may create a run with the same key at the same time: the insert waits for it, and
/// then finds its run.
pub(super) async fn create(db: &mut PgConnection, new: &NewRun) -> Applied {
    let request = match serde_json::to_string(&new.request) {
        Ok(request) => request,
        Err(error) => return Ok(Err(refused("creating a run")(error))),
    };
    let inserted = sqlx::query(INSERT)
        .bind(&new.id.0)
        .bind(&request)
        .bind(&new.owner)
        .bind(&new.idempotency_key)
        .bind(new.at_ms.cast_signed())
        .bind(i64::try_from(NEW_RUN_LEASE.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *db)
        .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Ok(Reply::Created(Created::New)));
    }
    let earlier: Earlier = sqlx::query_as(EARLIER)
        .bind(&new.idempotency_key)
        .bind(&new.owner)
        .bind(&new.id.0)
        .fetch_one(db)
        .await?;
    Ok(joined(new, &request, earlier))
}

fn joined(
    new: &NewRun,
    request: &str,
    (id, earlier, owner, key): Earlier,
) -> Result<Reply, StoreError> {
    let same_caller = (&owner, &key) == (&new.owner, &new.idempotency_key);
    let same = earlier == request && same_caller;
    let created = match (id == new.id.0, same) {
        // The first try was committed, and its answer was lost.
        (true, true) => Created::New,
        (true, false) => {
            let taken = format!("there is another run {id}");
            return Err(refused("creating a run")(taken));
        }
        (false, true) => Created::Joined(RunId(id)),
        (false, false) => Created::KeyReused,
    };
    Ok(Reply::Created(created))
}
