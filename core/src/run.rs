//! A run: prepare → work → check → publish → finish.

mod again;
mod catch_up;
mod change;
mod check;
mod command;
mod details;
mod detect;
mod evidence;
mod finish;
mod follow;
mod forge;
mod halt;
mod keep;
mod left;
mod mend;
mod notices;
mod origin;
mod park;
mod past;
mod plan;
mod preflight;
mod prepare;
mod prompt;
mod proposal;
mod publish;
mod resume;
mod servers;
mod summary;
mod token;
mod verified;
mod warm;
mod way;
mod work;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pullwright_protocol::provider::ProviderError;
use pullwright_protocol::{
    BaseMove, CheckReport, Event, FailureKind, Followed, Outcome, RunId, RunRequest, Stage,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::{Halt, Inbox};
use crate::budget::{Budget, Limits};
use crate::caller_token::CallerToken;
use crate::config::{Config, EditTool, ToolConfig};
use crate::conversation::Conversation;
use crate::log::EventLog;
use crate::provider::Provider;
use crate::sandbox::{Sandbox, SandboxHost};
use crate::source::{Base, Pushed, Repository, RepositoryFiles, Source, Work};
use crate::store::{Epoch, RunStore, StoreError};
use crate::tools::{Approval, ToolIo, ToolServer, ToolServerError};

use catch_up::{CaughtUp, Pushing};
use notices::Used;
use past::{Past, Spent};
use resume::Begun;
use way::Way;

pub use prompt::SYSTEM;
pub use resume::GIVEN_UP;
pub use servers::{HostRow, SandboxRow};

/// How long a stage may take to stop by itself once the run is told to end.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Everything runs share.
#[derive(Clone)]
pub struct RunParts {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where runs and events live.
    pub store: Arc<dyn RunStore>,
    /// The control plane's git.
    pub source: Arc<dyn Source>,
    /// The base commit's files.
    pub files: Arc<dyn RepositoryFiles>,
    /// Where tool servers and checks run.
    pub sandboxes: Arc<dyn SandboxHost>,
    /// The models.
    pub providers: Arc<dyn Providers>,
    /// The links of tool servers on the host.
    pub host_tools: Arc<dyn HostTools>,
    /// Which tool definitions may be offered.
    pub approval: Arc<dyn Approval>,
    /// Where checkouts go: one folder per run.
    pub runs_dir: PathBuf,
    /// Whether the work is kept after each of the model's turns that may have changed it, and not only at
    /// the end: where a sandbox may be lost without its server, or a server's machine with the sandbox.
    pub keeps_up: bool,
    /// What every run tells at its start, such as that the configuration on disk cannot be used.
    pub notice: Option<String>,
}

/// Opens the providers of `plugins.toml`.
#[async_trait]
pub trait Providers: Send + Sync {
    /// Opens the provider of a row, with another model than the row's own if `model` is given.
    async fn open(&self, row: &str, model: Option<&str>) -> Result<Provider, ProviderError>;
}

/// Opens the links of tool servers that run on the host.
#[async_trait]
pub trait HostTools: Send + Sync {
    /// Opens the link of a row whose `runs` is `host`. With a caller's token, the forge of that origin works
    /// with it instead of its own account, and no other row is given it.
    async fn open(
        &self,
        name: &str,
        row: &ToolConfig,
        token: Option<&BoundToken>,
    ) -> Result<ToolIo, ToolServerError>;

    /// Whether the row is a forge that can work with a caller's token for this origin.
    fn takes_token(&self, row: &ToolConfig, origin: &str) -> bool;
}

/// A caller's token, and the only origin that it may be sent to.
#[derive(Clone, Debug)]
pub struct BoundToken {
    /// Scheme, host and port.
    pub origin: String,
    /// The token.
    pub token: CallerToken,
}

/// A run and the right to write to it.
#[derive(Clone, Debug)]
pub struct OwnedRun {
    /// Its id.
    pub id: RunId,
    /// What was asked for.
    pub request: RunRequest,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The number of its last event.
    pub last_seq: u64,
    /// Whether it had another owner before, so that its log says where to go on.
    pub is_resumed: bool,
    /// Whether nobody is to go on with it, since server after server died of it: what its model has made is
    /// saved, and it ends.
    pub is_given_up: bool,
    /// The token that its caller has sent, where the request says that there is one and it is still known.
    pub token: Option<CallerToken>,
    /// Fires when somebody cancels it.
    pub cancel: CancellationToken,
    /// Fires when this owner wants to be rid of it.
    pub hand_over: HandOver,
}

/// Tells a run to stop where another owner can go on. One that publishes is finished all the same.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// Fires when the run is to stop before the model's next turn.
    pub soon: CancellationToken,
    /// Fires when it is to stop at once; a call that is under way is interrupted.
    pub now: CancellationToken,
}

/// How an owner is done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It has ended: its last event is `Done`.
    Ended,
    /// It stopped where another owner can go on.
    HandedOver,
    /// It stopped where an owner can go on once this time has passed, and not before.
    Parked(Duration),
}

/// Runs a run to its end, or until it can be handed over. Where it ends, its last event is `Done`,
/// whatever happened.
#[must_use]
pub fn execute(parts: &RunParts, owned: OwnedRun) -> BoxFuture<'_, Executed> {
    async move {
        let past = match past_of(parts, &owned).await {
            Ok(past) => past,
            Err(error) => {
                tracing::error!(run = %owned.id, %error, "the run's log cannot be read");
                return Executed::HandedOver;
            }
        };
        let mut run = Run::new(parts, owned, past.as_ref());
        let ended = run.stages(past).await;
        let ended = run.take_back_begun(ended).await;
        run.finish(ended).await
    }
    .boxed()
}

async fn past_of(parts: &RunParts, owned: &OwnedRun) -> Result<Option<Past>, StoreError> {
    match owned.is_resumed {
        true => past::read(parts.store.as_ref(), &owned.id).await.map(Some),
        false => Ok(None),
    }
}

/// Gives back what a run of a dead server has left on this machine: processes, folders, quarantine.
pub async fn clean_up(parts: &RunParts, run: &RunId) {
    left::clean_up(parts, run, left::unheard()).await;
}

/// Removes what dead servers had begun to remove on this machine.
pub async fn sweep(parts: &RunParts) {
    left::sweep(parts).await;
}

/// The limits of a configuration.
#[must_use]
pub fn limits_of(config: &Config) -> Limits {
    let budget = &config.budget;
    Limits {
        usd: budget.max_usd,
        tokens: budget.max_tokens,
        turns: budget.max_turns,
        time: Duration::from_secs_f64(budget.max_minutes * 60.0),
    }
}

struct Run<'a> {
    parts: &'a RunParts,
    owned: OwnedRun,
    log: EventLog,
    budget: Budget,
    /// What it goes on with of another run, once that is taken over.
    followed: Option<Followed>,
    /// Why the pull request of that takes no more commits, once it was looked at.
    closed: Option<String>,
    /// Where the model finds that, in words.
    situation: String,
    /// Filled by the stages as they go; `finish` gives back whatever is there.
    base: Option<Base>,
    sandbox: Option<Arc<dyn Sandbox>>,
    /// What sandboxes told and is not recorded yet.
    notices: Vec<JoinHandle<()>>,
    used: Used,
    host_servers: Vec<Arc<ToolServer>>,
    forge: Option<forge::Forge>,
    conversation: Option<Conversation>,
    /// What an earlier owner has left to do in the conversation.
    begun: Option<Begun>,
    inbox: Inbox,
    work: Option<Work>,
    /// Whether the model may have changed the workspace since the work was last taken in.
    unsaved: bool,
    /// How it is published.
    way: Way,
    /// What is pushed instead of the work, since the base branch has moved.
    caught_up: Option<CaughtUp>,
    /// What became of the base branch.
    base_move: Option<BaseMove>,
    /// Whether sandboxes are opened on another commit than the run works on.
    is_elsewhere: bool,
    /// What is about to be pushed, or was.
    pushing: Option<Pushing>,
    /// The commits at which the branch may have been made without the change; none of one that grows.
    begun_at: Vec<String>,
    /// Whether an earlier owner had begun to publish, which the time limit does not end.
    is_publishing: bool,
    pushed: Option<Pushed>,
    /// Those of the checks themselves that it touches.
    check_files: Vec<String>,
    pr_url: Option<String>,
    /// What the pull request did not get of its labels and people, a sentence each.
    lacking: Vec<String>,
    /// How long it was put aside for them so far.
    waited_for_details: Duration,
    before: Vec<CheckReport>,
    after: Vec<CheckReport>,
    last_words: String,
    /// Whether a patch is stored.
    is_kept: Arc<AtomicBool>,
    /// Whether an earlier owner may have left something that is not taken over yet.
    is_left_behind: bool,
    /// How often the model was asked to mend what its change broke.
    repairs: u32,
    /// The provider rows to go on with, in order.
    fallback: VecDeque<String>,
    /// How long it was put aside so far.
    parked: Duration,
}

/// How the stages ended, and why in a sentence.
struct Ended {
    outcome: Outcome,
    summary: String,
}

/// What `prepare` hands to the stages after it.
struct Prepared {
    base: Base,
    commands: detect::Commands,
    provider: Provider,
    /// How the model changes files, also where another takes over.
    edit_tool: EditTool,
}

/// What is left to do for a change.
enum Left {
    /// The model is at work.
    Work(Prepared),
    /// Its work is to be checked.
    Check(Prepared),
    /// Its work is checked.
    Checked {
        base: Base,
        commands: detect::Commands,
    },
    /// It is pushed, or about to be.
    Nothing,
}

impl<'a> Run<'a> {
    /// A run as far as `past` has brought it.
    fn new(parts: &'a RunParts, owned: OwnedRun, past: Option<&Past>) -> Self {
        let store = Arc::clone(&parts.store);
        let last_seq = past.map_or(owned.last_seq, |past| past.last_seq);
        let log = EventLog::start(Arc::clone(&store), owned.id.clone(), owned.epoch, last_seq);
        let heard = past.map_or_else(BTreeSet::new, |past| past.heard.clone());
        let inbox = Inbox::new(store, owned.id.clone(), heard);
        let spent = past.map_or_else(Spent::default, |past| past.spent);
        let now = Instant::now();
        let started = now.checked_sub(spent.time).unwrap_or(now);
        let limits = limits_of(&parts.config).lowered_by(&owned.request.budget);
        let mut run = Self {
            parts,
            log,
            budget: Budget::new(limits, started).after(spent.turns, spent.usage),
            // Who names a provider wants that one.
            fallback: match owned.request.provider {
                Some(_) => VecDeque::new(),
                None => parts.config.agent.fallback.iter().cloned().collect(),
            },
            owned,
            followed: None,
            closed: None,
            situation: String::new(),
            base: None,
            sandbox: None,
            notices: Vec::new(),
            used: Used::after(spent.usage.sandbox),
            host_servers: Vec::new(),
            forge: None,
            conversation: None,
            begun: None,
            inbox,
            work: None,
            unsaved: false,
            way: Way::default(),
            caught_up: None,
            base_move: None,
            is_elsewhere: false,
            pushing: None,
            begun_at: Vec::new(),
            is_publishing: false,
            pushed: None,
            check_files: Vec::new(),
            pr_url: None,
            lacking: Vec::new(),
            waited_for_details: past.map_or(Duration::ZERO, |past| past.parked_proposed),
            before: Vec::new(),
            after: Vec::new(),
            last_words: String::new(),
            is_kept: Arc::default(),
            is_left_behind: false,
            repairs: 0,
            parked: past.map_or(Duration::ZERO, |past| past.parked),
        };
        if let Some(past) = past {
            run.know(past);
        }
        run
    }

    /// Everything up to the checks can be interrupted; publishing cannot, so that no half-made
    /// pull request is left behind.
    async fn stages(&mut self, past: Option<Past>) -> Result<Ended, Halt> {
        if let Some(past) = &past {
            let model = past.talk.as_ref().map(|talk| talk.model.clone());
            let gives_up = self.owned.is_given_up;
            self.log.emit(Event::Resumed { model, gives_up }).await;
            self.book_lost_reply(past).await;
        }
        if self.pr_url.is_some() {
            if let Some(past) = &past {
                self.set_details_again(past).await?;
            }
            return Ok(self.ended_in_pull_request());
        }
        if let Some(past) = &past {
            self.end_what_is_over(past).await?;
        }
        let interrupted = self.interruption();
        let ended = {
            let making = self.make_change(past);
            tokio::pin!(making);
            let halt = tokio::select! {
                biased;
                made = &mut making => Err(made),
                halt = interrupted => Ok(halt),
            };
            match halt {
                Err(made) => made,
                Ok(Halt::HandedOver) => Err(Halt::HandedOver),
                // The tools are told to stop, which takes a moment.
                Ok(halt) => match tokio::time::timeout(STOP_GRACE, making).await {
                    Ok(Err(own)) => Err(own),
                    _ => Err(halt),
                },
            }
        }?;
        match ended {
            Some(ended) => Ok(ended),
            None => self.publish().await,
        }
    }

    /// Resolves when the run must end. Nobody asks for that any more once its branch is pushed.
    fn interruption(&self) -> impl Future<Output = Halt> + use<> {
        let is_published = self.pushed.is_some();
        let is_timed = !is_published && !self.is_publishing;
        let cancel = self.owned.cancel.clone();
        let broken = self.log.broken().clone();
        let (lost, hand_over) = (self.log.lost().clone(), self.owned.hand_over.now.clone());
        let deadline = self.budget.deadline();
        let over = self.budget.time_is_over();
        async move {
            tokio::select! {
                () = cancel.cancelled(), if !is_published => Halt::Cancelled,
                () = broken.cancelled() => Halt::Failed(
                    FailureKind::Internal,
                    crate::log::LogBroken.to_string(),
                ),
                () = lost.cancelled() => Halt::HandedOver,
                () = hand_over.cancelled() => Halt::HandedOver,
                () = tokio::time::sleep_until(deadline.into()), if is_timed => {
                    Halt::Budget(over)
                }
            }
        }
    }

    async fn status(&self, stage: Stage, message: impl Into<String>) {
        let message = message.into();
        self.log.emit(Event::Status { stage, message }).await;
    }

    fn repository(&self) -> Result<Repository, Halt> {
        Ok(self.parts.source.accept(&self.owned.request.repo_url)?)
    }

    fn run_dir(&self) -> PathBuf {
        self.parts.runs_dir.join(&self.owned.id.0)
    }

    fn sandbox(&self) -> Result<Arc<dyn Sandbox>, Halt> {
        self.sandbox
            .clone()
            .ok_or_else(|| Halt::Failed(FailureKind::Internal, "the run has no sandbox".to_owned()))
    }
}
