//! `pullwright runs say`: to the model at work on a run, or as the task of one that follows it.

use std::time::Duration;

use anyhow::bail;
use pullwright_core::log::now_ms;
use pullwright_core::store::{
    Created, MAX_MESSAGES, NewMessage, NewRun, Posted, RunRecord, RunStore,
};
use pullwright_protocol::RunId;

use super::{Place, Whereabouts};
use crate::cli::say;

/// Long enough to let go of a new run, so that a server takes it at once.
const LEASE: Duration = Duration::from_secs(10);

/// Who owns a new run until then.
const WORKER: &str = "command line";

pub(super) async fn tell(whereabouts: &Whereabouts, named: &str, text: &str) -> anyhow::Result<()> {
    let Place::Store { store, record } = whereabouts.find(named).await? else {
        bail!(
            "run {named} ended long ago, and nobody can go on with it any more; start another one"
        );
    };
    if text.trim().is_empty() {
        bail!("there is nothing to say; write the message after the run");
    }
    let store = store.as_ref();
    loop {
        let last = last_of(store, &record).await?;
        if let Some(how) = last.retired {
            bail!(
                "run {} ended long ago and is {}, so nobody can go on with it any more; start another one",
                last.id,
                how.as_str()
            );
        }
        let run = &last.id;
        let message = NewMessage {
            id: uuid::Uuid::now_v7().to_string(),
            run: run.clone(),
            text: text.to_owned(),
            at_ms: now_ms(),
        };
        match store.post(message).await? {
            Posted::Accepted(_) => {
                say(&format!(
                    "the model of run {run} hears it before its next turn"
                ));
                return Ok(());
            }
            Posted::Full => {
                bail!("run {run} has {MAX_MESSAGES} messages, which is all that one takes")
            }
            Posted::Ended => {}
        }
        if last.request.caller_token {
            bail!(
                "run {run} worked with its caller's own token, which is gone now that it has ended; say it to \
                 the server with another one: POST /v1/runs/{run}/messages with the header X-Forge-Token"
            );
        }
        if let Some(follower) = follow(store, &last, text).await? {
            say(&format!(
                "run {run} has ended; run {follower} goes on with its change as soon as a server has a place \
                 for it, and `pullwright runs tail {follower}` shows it; without a server, or of a local path, \
                 `pullwright runs resume {follower}` does"
            ));
            return Ok(());
        }
    }
}

/// The run, or the last of those that follow it.
async fn last_of(store: &dyn RunStore, record: &RunRecord) -> anyhow::Result<RunRecord> {
    let mut last = record.clone();
    while let Some(follower) = store.follower(&last.id).await? {
        let Some(record) = store.get(&follower).await? else {
            bail!(
                "run {follower}, which follows run {}, is not in the store",
                last.id
            );
        };
        last = record;
    }
    Ok(last)
}

/// Leaves a run for any server to take; nothing where somebody else was faster in following that one.
async fn follow(
    store: &dyn RunStore,
    ended: &RunRecord,
    text: &str,
) -> anyhow::Result<Option<RunId>> {
    let id = RunId(uuid::Uuid::now_v7().to_string());
    let new = NewRun {
        id: id.clone(),
        request: ended.request.following(&ended.id, text.to_owned()),
        owner: ended.owner.clone(),
        idempotency_key: None,
        at_ms: now_ms(),
        sealed_token: None,
    };
    if let Created::FollowedBy(_) = store.create(new).await? {
        return Ok(None);
    }
    let epoch = store.claim(&id, WORKER, LEASE).await?;
    store.heartbeat(&id, epoch, Duration::ZERO).await?;
    Ok(Some(id))
}
