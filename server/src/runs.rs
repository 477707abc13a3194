//! The runs of this server: started, kept alive, cancelled, and ended whatever happens.

mod caller;
mod ending;
mod limits;
mod supervise;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::log::{now_ms, stamp};
use pullwright_core::run::{Executed, HandOver, OwnedRun};
use pullwright_core::store::{Created, NewRun, RunStore, StoreError};
use pullwright_protocol::{Event, RunId, RunRequest, Stage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::problem::ApiProblem;
use crate::traces::Traces;

pub use caller::Caller;
pub use limits::RequestLimits;

/// When a caller who found no free place should try again.
const RETRY_AFTER_SECS: u64 = 30;

/// Carries out a run.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Runs a run to its end, which [`RunStore::finish`] marks, or until it can be handed over.
    async fn execute(&self, claimed: OwnedRun) -> Executed;

    /// Gives back what a run of a dead server has left on this machine.
    async fn clean_up(&self, _run: &RunId) {}

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
}

impl<F> Validate for F
where
    F: Fn(&RunRequest) -> Result<(), ApiProblem> + Send + Sync,
{
    fn validate(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        self(request)
    }
}

/// The limits of a server's runs.
#[derive(Clone, Debug)]
pub struct RunsConfig {
    /// How many runs may be under way at the same time.
    pub max_concurrent: usize,
    /// How long a run stays owned without a heartbeat. After a crash it is ended this much later.
    pub lease: Duration,
    /// How long a cancelled run may take to end by itself, before its task is dropped. Longer than
    /// saving its patch, closing its sandbox and a push that is under way take together: each of
    /// those has a bound of its own.
    pub cancel_grace: Duration,
    /// What a request may hold.
    pub request: RequestLimits,
    /// What knows the traces that lines of the log belong to.
    pub traces: Traces,
}

impl Default for RunsConfig {
    fn default() -> Self {
        Self {
            max_concurrent: 32,
            lease: Duration::from_secs(15),
            cancel_grace: Duration::from_secs(15 * 60),
            request: RequestLimits::default(),
            traces: Traces::default(),
        }
    }
}

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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StartError> for ApiProblem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(problem) => problem,
            StartError::Store(error) => error.into(),
        }
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
    places: Arc<Semaphore>,
    /// Starts with an idempotency key take turns: retries that come at the same time would otherwise
    /// take places from each other and from everybody else.
    keyed_starts: tokio::sync::Mutex<()>,
    active: Mutex<HashMap<RunId, Active>>,
    tasks: TaskTracker,
}

struct Active {
    caller: Caller,
    key: Option<String>,
    cancel: CancellationToken,
    ended: CancellationToken,
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
        let shared = Shared {
            store,
            execute,
            validate,
            places: Arc::new(Semaphore::new(config.max_concurrent)),
            config,
            worker: uuid::Uuid::new_v4().to_string(),
            keyed_starts: tokio::sync::Mutex::default(),
            active: Mutex::default(),
            tasks: TaskTracker::new(),
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

    /// Starts a run, or joins the one that the same idempotency key started.
    ///
    /// # Errors
    /// When the request is refused or the store fails; no run is under way then.
    pub async fn start(
        &self,
        request: RunRequest,
        idempotency_key: Option<String>,
        caller: Caller,
    ) -> Result<Started, StartError> {
        self.check(&request).map_err(StartError::Refused)?;
        let this = self.clone();
        // A caller that goes away in the middle must not leave half a start behind.
        let starting = self.shared.tasks.spawn(async move {
            let _turn = match idempotency_key {
                Some(_) => Some(this.shared.keyed_starts.lock().await),
                None => None,
            };
            let place = this.place(&caller, idempotency_key.as_deref())?;
            this.create(request, idempotency_key, caller, place).await
        });
        starting.await.unwrap_or_else(|error| {
            tracing::error!(%error, "starting a run failed");
            let message = "starting the run failed; the server's log says why";
            Err(StartError::Refused(ApiProblem::unavailable(message)))
        })
    }

    /// Asks a run to end. Answers false when it has ended already.
    ///
    /// # Errors
    /// When there is no such run or the store fails; a run of this server is told all the same.
    pub async fn cancel(&self, run: &RunId) -> Result<bool, StoreError> {
        if let Some(active) = self.active().get(run) {
            active.cancel.cancel();
        }
        self.shared.store.cancel(run).await
    }

    /// Fires when a run of this server is over, whether or not its log could be ended.
    #[must_use]
    pub fn ended(&self, run: &RunId) -> Option<CancellationToken> {
        self.active().get(run).map(|active| active.ended.clone())
    }

    /// Goes on with the runs that a dead server left behind, and answers how many there were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let mut recovered = 0;
        for run in self.shared.store.orphans().await? {
            if self.active().contains_key(&run) {
                continue;
            }
            match self.go_on(&run).await {
                Ok(is_ours) => recovered += usize::from(is_ours),
                // It must not hold up the others; the next look tries it again.
                Err(error) => tracing::error!(%run, %error, "an orphaned run cannot go on"),
            }
        }
        Ok(recovered)
    }

    /// Recovers now, and again whenever a lease may have run out, until `stop` fires.
    pub async fn keep_recovering(&self, stop: CancellationToken) {
        self.give_back().await;
        let mut tick = tokio::time::interval(self.shared.config.lease);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            match self.recover().await {
                Ok(0) => {}
                Ok(runs) => {
                    tracing::warn!(runs, "goes on with runs that a dead server left behind")
                }
                Err(error) => tracing::error!(%error, "looking for orphaned runs failed"),
            }
        }
    }

    /// Gives back what is here of runs that another server has ended.
    async fn give_back(&self) {
        for run in self.shared.execute.leftovers() {
            let record = self.shared.store.get(&run).await.ok().flatten();
            if record.is_some_and(|record| record.outcome.is_some()) {
                self.shared.execute.clean_up(&run).await;
            }
        }
    }

    /// Cancels all runs and waits, at most `grace`, until they have ended.
    pub async fn shut_down(&self, grace: Duration) {
        self.shared.places.close();
        for active in self.active().values() {
            active.cancel.cancel();
        }
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some runs did not end in time; the next start ends them");
        }
    }

    fn check(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        self.shared.config.request.check(request)?;
        self.shared.validate.validate(request)
    }

    /// A place for one more run. A retry of a run that is under way needs none.
    fn place(
        &self,
        caller: &Caller,
        key: Option<&str>,
    ) -> Result<Option<OwnedSemaphorePermit>, StartError> {
        let places = Arc::clone(&self.shared.places);
        if let Ok(place) = places.try_acquire_owned() {
            return Ok(Some(place));
        }
        let same = |a: &Active| a.key.as_deref() == key && a.caller.name == caller.name;
        let known = key.is_some() && self.active().values().any(same);
        if known {
            return Ok(None);
        }
        let most = self.shared.config.max_concurrent;
        Err(StartError::Refused(ApiProblem::busy(
            most,
            RETRY_AFTER_SECS,
        )))
    }

    async fn create(
        &self,
        request: RunRequest,
        key: Option<String>,
        caller: Caller,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Started, StartError> {
        let id = RunId(uuid::Uuid::now_v7().to_string());
        let new = NewRun {
            id: id.clone(),
            request: request.clone(),
            owner: caller.name.clone(),
            idempotency_key: key.clone(),
            at_ms: now_ms(),
        };
        match self.shared.store.create(new).await? {
            Created::Joined(id) => return Ok(Started { id, joined: true }),
            Created::KeyReused => return Err(StartError::Refused(ApiProblem::key_reused())),
            Created::New => {}
        }
        let claimed = self.begin(id.clone(), request).await?;
        self.launch(claimed, caller, key, place);
        Ok(Started { id, joined: false })
    }

    /// Takes the new run and says so in its log, before any slow work.
    async fn begin(&self, id: RunId, request: RunRequest) -> Result<OwnedRun, StoreError> {
        let Shared {
            store,
            worker,
            config,
            ..
        } = &*self.shared;
        let epoch = store.claim(&id, worker, config.lease).await?;
        let first = vec![
            stamp(
                1,
                Event::RunCreated {
                    request: request.clone(),
                },
            ),
            stamp(
                2,
                Event::Status {
                    stage: Stage::Queued,
                    message: "the run is accepted".to_owned(),
                },
            ),
        ];
        let last_seq = first.len() as u64;
        store.append(&id, epoch, first).await?;
        Ok(OwnedRun {
            id,
            request,
            epoch,
            last_seq,
            is_resumed: false,
            cancel: CancellationToken::new(),
            hand_over: HandOver::default(),
        })
    }

    fn launch(
        &self,
        claimed: OwnedRun,
        caller: Caller,
        key: Option<String>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let active = Active {
            caller,
            key,
            cancel: claimed.cancel.clone(),
            ended: CancellationToken::new(),
        };
        self.active().insert(claimed.id.clone(), active);
        let this = self.clone();
        self.shared.tasks.spawn(async move {
            let id = claimed.id.clone();
            this.supervise(claimed).await;
            this.forget(&id);
            drop(place);
        });
    }

    fn forget(&self, run: &RunId) {
        if let Some(active) = self.active().remove(run) {
            active.ended.cancel();
        }
    }

    /// Goes on with a run that nobody owns. Answers false when somebody else was faster.
    async fn go_on(&self, run: &RunId) -> Result<bool, StoreError> {
        let Shared {
            store,
            worker,
            config,
            ..
        } = &*self.shared;
        let epoch = match store.claim(run, worker, config.lease).await {
            Err(StoreError::Fenced(_)) => return Ok(false),
            claimed => claimed?,
        };
        let record = store.get(run).await?;
        let record = record.ok_or_else(|| StoreError::UnknownRun(run.clone()))?;
        let owned = OwnedRun {
            id: run.clone(),
            request: record.request,
            epoch,
            last_seq: record.last_seq,
            is_resumed: true,
            cancel: CancellationToken::new(),
            hand_over: HandOver::default(),
        };
        if record.cancel_requested {
            owned.cancel.cancel();
        }
        let caller = Caller {
            name: record.owner,
            max_concurrent: None,
        };
        self.launch(owned, caller, None, None);
        Ok(true)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        let active = self.shared.active.lock();
        active.unwrap_or_else(PoisonError::into_inner)
    }
}
