//! Creates a run, or finds the one that was created before.

use pullwright_core::store::{Created, NewRun, StoreError};
use pullwright_protocol::RunId;
use sqlx::PgConnection;

use crate::store::failure::refused;
use crate::store::op::{NEW_RUN_LEASE, Reply};

const INSERT: &str = "INSERT INTO runs \
       (id, request, owner, idempotency_key, created_at_ms, leased_until_ms, follows, sealed_token) \
     VALUES ($1, $2, $3, $4, $5, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $6, $7, $8) \
     ON CONFLICT DO NOTHING";
const EARLIER: &str = "SELECT id, request, owner, idempotency_key FROM runs \
     WHERE (idempotency_key = $1 AND coalesce(owner, '') = coalesce($2, '')) OR id = $3 \
     ORDER BY id = $3 DESC LIMIT 1";
const FOLLOWER: &str = "SELECT id FROM runs WHERE follows = $1";

/// A run's id, request, owner and key.
type Earlier = (String, String, Option<String>, Option<String>);
type Applied = Result<Result<Reply, StoreError>, sqlx::Error>;

/// Another server may create a run with the same key, or one that follows the same run, at the same time:
/// the insert waits for it, and then finds its run.
pub(super) async fn create(db: &mut PgConnection, new: &NewRun) -> Applied {
    let request = match serde_json::to_string(&new.request) {
        Ok(request) => request,
        Err(error) => return Ok(Err(refused("creating a run")(error))),
    };
    let follows = new.request.follows.as_ref().map(|run| &run.0);
    let inserted = sqlx::query(INSERT)
        .bind(&new.id.0)
        .bind(&request)
        .bind(&new.owner)
        .bind(&new.idempotency_key)
        .bind(new.at_ms.cast_signed())
        .bind(i64::try_from(NEW_RUN_LEASE.as_millis()).unwrap_or(i64::MAX))
        .bind(follows)
        .bind(&new.sealed_token)
        .execute(&mut *db)
        .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Ok(Reply::Created(Created::New)));
    }
    let earlier: Option<Earlier> = sqlx::query_as(EARLIER)
        .bind(&new.idempotency_key)
        .bind(&new.owner)
        .bind(&new.id.0)
        .fetch_optional(&mut *db)
        .await?;
    if let Some(earlier) = earlier {
        return Ok(joined(new, &request, earlier));
    }
    let follower = sqlx::query_scalar(FOLLOWER).bind(follows);
    let follower = RunId(follower.fetch_one(db).await?);
    Ok(Ok(Reply::Created(Created::FollowedBy(follower))))
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
