//! How a run begins: checked, seated, created, claimed, launched.

use std::sync::PoisonError;

use axum::http::StatusCode;
use pullwright_core::caller_token::CallerToken;
use pullwright_core::log::{now_ms, stamp};
use pullwright_core::run::OwnedRun;
use pullwright_core::store::{Created, NewRun, StoreError};
use pullwright_protocol::{Event, FailureKind, LoggedEvent, RunId, RunRequest, Stage};
use tokio_util::sync::CancellationToken;

use super::active::OwnedKey;
use super::line::{Full, Seat};
use super::queue::Ticket;
use super::{Caller, Departure, Runs};
use crate::problem::ApiProblem;

/// A run that was started or joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its id.
    pub id: RunId,
    /// Whether the same idempotency key had started it before.
    pub joined: bool,
}

/// Why a run is not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request is refused.
    #[error("{}", .0.message)]
    Refused(ApiProblem),
    /// Another run follows the same one already.
    #[error("run {0} follows that run already; say it to that one")]
    FollowedBy(RunId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StartError> for ApiProblem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(problem) => problem,
            StartError::FollowedBy(ref run) => {
                let status = StatusCode::CONFLICT;
                Self::new(status, FailureKind::BadRequest, error.to_string()).about(run)
            }
            StartError::Store(error) => error.into(),
        }
    }
}

/// What somebody wants to be done.
struct Wanted {
    id: RunId,
    request: RunRequest,
    key: Option<String>,
    caller: Caller,
    token: Option<CallerToken>,
}

impl Wanted {
    fn ticket(&self) -> Ticket {
        ticket(self.id.clone(), &self.request, self.caller.clone())
    }

    fn owned_key(&self) -> Option<OwnedKey> {
        let owner = self.caller.name.clone();
        self.key.clone().map(|key| OwnedKey { owner, key })
    }
}

impl Runs {
    /// Starts a run, or joins the one that the same idempotency key started. It works at once if there
    /// is a place for it, else it waits.
    ///
    /// # Errors
    /// When the request is refused or the store fails; no run is under way then.
    pub async fn start(
        &self,
        request: RunRequest,
        idempotency_key: Option<String>,
        caller: Caller,
    ) -> Result<Started, StartError> {
        self.start_with_token(request, idempotency_key, caller, None)
            .await
    }

    /// [`Runs::start`] with the caller's own token for the code host. The run that is joined keeps its own.
    ///
    /// # Errors
    /// As for [`Runs::start`].
    pub async fn start_with_token(
        &self,
        mut request: RunRequest,
        idempotency_key: Option<String>,
        caller: Caller,
        token: Option<CallerToken>,
    ) -> Result<Started, StartError> {
        // A server that stops waits for this to be over, once it has not been refused.
        let _tracked = self.shared.tasks.token();
        self.check(&request).map_err(StartError::Refused)?;
        self.note_token(&mut request, token.as_ref())
            .map_err(StartError::Refused)?;
        let wanted = Wanted {
            id: RunId(uuid::Uuid::now_v7().to_string()),
            request,
            key: idempotency_key,
            caller,
            token,
        };
        let this = self.clone();
        // A caller that goes away in the middle must not leave half a start behind.
        let starting = self.shared.tasks.spawn(async move {
            let _turn = match wanted.key {
                Some(_) => Some(this.shared.keyed_starts.lock().await),
                None => None,
            };
            let seat = this.seat(&wanted)?;
            this.create(wanted, seat).await
        });
        starting.await.unwrap_or_else(|error| {
            tracing::error!(%error, "starting a run failed");
            let message = "starting the run failed; the server's log says why";
            Err(StartError::Refused(ApiProblem::unavailable(message)))
        })
    }

    fn check(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        if self.is_closing() {
            return Err(ApiProblem::stopping());
        }
        self.shared.config.request.check(request)?;
        self.shared.validate.validate(request)
    }

    /// A seat for one more run. A retry of a run that is here needs none.
    fn seat(&self, wanted: &Wanted) -> Result<Option<Seat>, StartError> {
        let key = wanted.owned_key();
        if key.is_some_and(|key| self.shared.active.has_key(&key)) {
            return Ok(None);
        }
        let seat = self.shared.line.admit(wanted.ticket());
        seat.map(Some).map_err(|full| self.full(full))
    }

    fn full(&self, full: Full) -> StartError {
        let pace = self.shared.pace.lock();
        let pace = pace.unwrap_or_else(PoisonError::into_inner);
        let wait = pace.next_end(full.placed).as_secs();
        StartError::Refused(ApiProblem::busy(full.placed, full.waiting, wait))
    }

    async fn create(&self, wanted: Wanted, seat: Option<Seat>) -> Result<Started, StartError> {
        let new = NewRun {
            id: wanted.id.clone(),
            request: wanted.request.clone(),
            owner: wanted.caller.name.clone(),
            idempotency_key: wanted.key.clone(),
            at_ms: now_ms(),
            sealed_token: self.sealed(&wanted.id, wanted.token.as_ref()),
        };
        match self.shared.store.create(new).await? {
            Created::Joined(id) => return Ok(Started { id, joined: true }),
            Created::KeyReused => return Err(StartError::Refused(ApiProblem::key_reused())),
            Created::FollowedBy(run) => return Err(StartError::FollowedBy(run)),
            Created::New => {}
        }
        // The run that had the key when it was looked for has left meanwhile.
        let seat = seat.unwrap_or_else(|| self.shared.line.readmit(wanted.ticket()));
        let (id, key) = (wanted.id.clone(), wanted.owned_key());
        let owned = self.begin(wanted.id, wanted.request, wanted.token).await?;
        self.launch(owned, key, seat);
        Ok(Started { id, joined: false })
    }

    /// Takes the new run and says so in its log, before any slow work.
    async fn begin(
        &self,
        id: RunId,
        request: RunRequest,
        token: Option<CallerToken>,
    ) -> Result<OwnedRun, StoreError> {
        let shared = &self.shared;
        let lease = shared.config.lease;
        let epoch = shared.store.claim(&id, &shared.worker, lease).await?;
        if let Some(token) = &token {
            shared.tokens.hold(id.clone(), token.clone());
        }
        let first = first_events(&request);
        let last_seq = first.len() as u64;
        shared.store.append(&id, epoch, first).await?;
        Ok(OwnedRun {
            id,
            request,
            epoch,
            last_seq,
            is_resumed: false,
            is_given_up: false,
            token,
            cancel: CancellationToken::new(),
            hand_over: shared.closing.hand_over(),
        })
    }

    /// Leaves an owned run to itself, from its seat to its end.
    pub(super) fn launch(&self, owned: OwnedRun, key: Option<OwnedKey>, seat: Seat) {
        let id = owned.id.clone();
        let stay = self.shared.active.add(id, key, owned.cancel.clone());
        let this = self.clone();
        self.shared.tasks.spawn(async move {
            let run = owned.id.clone();
            let departure = this.see_through(owned, &seat).await;
            if departure == Departure::Ended {
                this.shared.tokens.forget(&run);
            }
            stay.end(departure);
            drop(seat);
        });
    }
}

/// What stands in the log of every run before anything is done.
pub(super) fn first_events(request: &RunRequest) -> Vec<LoggedEvent> {
    let created = Event::RunCreated {
        request: request.clone(),
    };
    let accepted = Event::Status {
        stage: Stage::Queued,
        message: "the run is accepted".to_owned(),
    };
    vec![stamp(1, created), stamp(2, accepted)]
}

pub(super) fn ticket(run: RunId, request: &RunRequest, caller: Caller) -> Ticket {
    let repository = repository_of(&request.repo_url);
    Ticket {
        run,
        caller,
        repository,
    }
}

/// The same for the usual ways to write one repository's URL. Hosts that tell capital letters apart
/// count two repositories as one, at worst.
fn repository_of(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_one_however_it_is_written() {
        for url in [
            "https://github.com/owner/repo",
            "https://github.com/Owner/repo.git",
            "https://github.com/owner/repo/",
        ] {
            assert_eq!(repository_of(url), "https://github.com/owner/repo");
        }
        assert_ne!(
            repository_of("https://github.com/owner/repo2"),
            repository_of("https://github.com/owner/repo")
        );
    }
}
