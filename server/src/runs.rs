//! The runs of this server: admitted, started, kept alive, cancelled, handed over, and ended whatever
//! happens.

mod active;
mod caller;
mod config;
mod ending;
mod limits;
mod line;
mod messages;
mod owners;
mod pace;
mod queue;
mod recover;
mod shutdown;
mod start;
mod supervise;
mod tokens;
mod waiting;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pullwright_core::run::{Executed, OwnedRun};
use pullwright_core::store::{RunStore, StoreError};
use pullwright_protocol::{RunId, RunRequest};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::problem::ApiProblem;
use crate::tokens::HeldTokens;
use active::ActiveRuns;
use line::Line;
use pace::Pace;
use queue::Places;
use shutdown::Closing;

pub use active::{Departing, Departure};
pub use caller::Caller;
pub use config::RunsConfig;
pub use limits::RequestLimits;
pub use messages::Said;
pub use owners::Owners;
pub use shutdown::{Parted, Patience};
pub use start::{StartError, Started};

/// Carries out a run.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Runs a run to its end, which [`RunStore::finish`] marks, or until it can be handed over.
    async fn execute(&self, claimed: OwnedRun) -> Executed;

    /// Gives back what a run of a dead server has left on this machine.
    async fn clean_up(&self, _run: &RunId) {}

    /// Removes what dead servers had begun to remove on this machine.
    async fn sweep(&self) {}

    /// Whether a run may be gone on with here once nobody owns it.
    fn may_take_over(&self, _request: &RunRequest) -> bool {
        true
    }

    /// The runs of which something is on this machine.
    fn leftovers(&self) -> Vec<RunId> {
        Vec::new()
    }
}

/// Refuses a request that cannot be carried out, before a run is created.
pub trait Validate: Send + Sync {
    /// Checks what only the configuration knows: hosts, providers, keys.
    ///
    /// # Errors
    /// What the caller is told.
    fn validate(&self, request: &RunRequest) -> Result<(), ApiProblem>;

    /// Refuses a caller's token for the repository of a request, where nothing here could work with it.
    ///
    /// # Errors
    /// What the caller is told.
    fn check_token(&self, _request: &RunRequest) -> Result<(), ApiProblem> {
        Ok(())
    }

    /// Takes out of what was asked of an earlier run what the configuration does not have any more.
    fn suit(&self, _request: &mut RunRequest) {}
}

impl<F> Validate for F
where
    F: Fn(&RunRequest) -> Result<(), ApiProblem> + Send + Sync,
{
    fn validate(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        self(request)
    }
}

/// The registry of this server's runs. Cloning it is cheap.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn RunStore>,
    execute: Arc<dyn Execute>,
    validate: Arc<dyn Validate>,
    config: RunsConfig,
    /// This process among all that ever used the store.
    worker: String,
    line: Arc<Line>,
    pace: Mutex<Pace>,
    /// Starts with an idempotency key take turns: retries that come at the same time would otherwise
    /// take places from each other and from everybody else.
    keyed_starts: tokio::sync::Mutex<()>,
    active: Arc<ActiveRuns>,
    tokens: HeldTokens,
    /// The runs that nobody owned when they were last looked for.
    orphans: watch::Sender<HashSet<RunId>>,
    tasks: TaskTracker,
    closing: Closing,
}

impl Runs {
    /// A registry without runs.
    #[must_use]
    pub fn new(
        store: Arc<dyn RunStore>,
        execute: Arc<dyn Execute>,
        validate: Arc<dyn Validate>,
        config: RunsConfig,
    ) -> Self {
        let places = Places {
            total: config.max_concurrent,
            per_caller: config.max_per_key,
            per_repository: config.max_per_repository,
        };
        let shared = Shared {
            store,
            execute,
            validate,
            line: Line::new(places, config.max_queued),
            pace: Mutex::default(),
            config,
            worker: uuid::Uuid::new_v4().to_string(),
            keyed_starts: tokio::sync::Mutex::default(),
            active: Arc::default(),
            tokens: HeldTokens::default(),
            orphans: watch::Sender::default(),
            tasks: TaskTracker::new(),
            closing: Closing::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Where the runs live.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn RunStore> {
        &self.shared.store
    }

    /// Asks a run to end. Answers false when it has ended already.
    ///
    /// # Errors
    /// When there is no such run or the store fails; a run of this server is told all the same.
    pub async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        self.shared.active.cancel(run);
        self.shared.store.cancel(run).await
    }

    /// Tells when and how a run of this server leaves it.
    #[must_use]
    pub fn departing(&self, run: &RunId) -> Option<Departing> {
        self.shared.active.departing(run)
    }
}
