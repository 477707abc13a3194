//! The callers' own tokens of this server's runs.

use std::time::Duration;

use axum::http::StatusCode;
use pullwright_core::caller_token::CallerToken;
use pullwright_core::log::now_ms;
use pullwright_core::store::{RunRecord, StoreError};
use pullwright_protocol::{FailureKind, RunId, RunRequest};

use super::Runs;
use crate::problem::ApiProblem;

/// How long a run that was put aside is left to the server that has its caller's token in memory, in leases: nobody
/// else can do more than end it.
const LEASES_FOR_HOLDER: u32 = 20;

impl Runs {
    /// The caller's token of a run that is not under way here, if it has one that this server knows or can
    /// open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn token_of(&self, record: &RunRecord) -> Result<Option<CallerToken>, StoreError> {
        let run = &record.id;
        if !record.request.caller_token {
            return Ok(None);
        }
        if let Some(token) = self.shared.tokens.of(run) {
            return Ok(Some(token));
        }
        let Some(sealed) = self.shared.store.token(run).await? else {
            return Ok(None);
        };
        let Some(keys) = &self.shared.config.token_keys else {
            tracing::warn!(%run, "its caller's token cannot be opened without `[server] token_key_env`");
            return Ok(None);
        };
        let opened = keys.open(run, &sealed);
        Ok(opened
            .inspect_err(|why| tracing::warn!(%run, %why, "its caller's token cannot be opened"))
            .ok())
    }

    /// Notes whether the request comes with a token. One that follows a run with its caller's token needs one
    /// as well: that of before is gone, and the server's own account is not what was asked for.
    pub(super) fn note_token(
        &self,
        request: &mut RunRequest,
        token: Option<&CallerToken>,
    ) -> Result<(), ApiProblem> {
        let needs_token = request.caller_token;
        request.caller_token = token.is_some();
        match (token, &request.follows) {
            (Some(_), _) => self.shared.validate.check_token(request),
            (None, Some(run)) if needs_token => Err(missing(run)),
            (None, _) => Ok(()),
        }
    }

    /// The token of a new run as it is kept, where there are keys.
    pub(super) fn sealed(&self, run: &RunId, token: Option<&CallerToken>) -> Option<Vec<u8>> {
        let (keys, token) = (self.shared.config.token_keys.as_ref()?, token?);
        let sealed = keys.seal(run, token);
        if sealed.is_none() {
            tracing::error!(%run, "the system gives no random bytes; the token is in memory only");
        }
        sealed
    }

    /// Whether another server is to go on with a run that was put aside, since it alone has the caller's token.
    pub(super) async fn is_left_to_holder(&self, record: &RunRecord) -> Result<bool, StoreError> {
        let Some(until_ms) = record.parked_until_ms else {
            return Ok(false);
        };
        let run = &record.id;
        let needs_token = record.request.caller_token && !record.cancel_requested;
        if !needs_token || self.shared.tokens.of(run).is_some() {
            return Ok(false);
        }
        let time_for_holder = self.shared.config.lease * LEASES_FOR_HOLDER;
        let parked_for = Duration::from_millis(now_ms().saturating_sub(until_ms));
        Ok(parked_for < time_for_holder && self.shared.store.token(run).await?.is_none())
    }

    /// Forgets the tokens of runs that have ended elsewhere.
    pub(super) async fn forget_tokens(&self) {
        for run in self.shared.tokens.runs() {
            if self.shared.active.contains(&run) {
                continue;
            }
            let record = self.shared.store.get(&run).await;
            let goes_on =
                |record: Option<RunRecord>| record.is_some_and(|run| run.outcome.is_none());
            if record.is_ok_and(|record| !goes_on(record)) {
                self.shared.tokens.forget(&run);
            }
        }
    }
}

fn missing(run: &RunId) -> ApiProblem {
    let message = format!(
        "run `{run}` worked with a token of its caller's own, which is gone now that it has ended; send one with \
         this message as well, in the header X-Forge-Token"
    );
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    ApiProblem::new(status, FailureKind::Credential, message).about(run)
}
