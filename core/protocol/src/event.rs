//! The events of a run. The log of events is the run's only memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::CheckReport;
use crate::follow::{Beginning, Followed};
use crate::forge::ForgeRepository;
use crate::item::{Item, Part, Provenance};
use crate::network::NetworkAccess;
use crate::outcome::{FailureKind, Outcome};
use crate::provider::{ModelLimits, StopReason, TokenUsage};
use crate::request::RunRequest;
use crate::tool::{ToolSpec, ToolView};
use crate::usage::{RunUsage, SandboxUsage};

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoggedEvent {
    /// Its number within the run, from 1; also the SSE id.
    pub seq: u64,
    /// When it was emitted, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The event.
    pub event: Event,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waiting for a worker.
    Queued,
    /// Fetching the repository.
    Clone,
    /// Opening the sandbox and its tool servers, and installing dependencies.
    Sandbox,
    /// The model works.
    Work,
    /// The project's checks run.
    Check,
    /// The change is pushed and proposed.
    Publish,
}

/// Why a conversation starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// It no longer fits its model; a summary stands for it.
    #[default]
    TooLong,
    /// The provider does not take its reasoning back; the rest of it stays.
    ReasoningRejected,
}

/// What became of the branch that a change is proposed to while the run was under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaseMove {
    /// Where it is now; absent where it is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What follows from that for the change, in a sentence.
    pub told: String,
    /// Whether the change is not to be merged as it is: it breaks a check there, or would bring commits back that
    /// were taken out of the branch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_in_the_way: bool,
}

/// One fact about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First of all: what was asked for.
    RunCreated {
        /// The request, as accepted.
        request: RunRequest,
    },
    /// The run goes on with the change of another one, which has ended.
    RunFollowed {
        /// What became of it.
        followed: Box<Followed>,
    },
    /// Another owner goes on with the run: the one before stopped, or died.
    Resumed {
        /// The model that the conversation is held with, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<Provenance>,
        /// Whether it only saves what there is and ends the run, since server after server died of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gives_up: bool,
    },
    /// The forge asks to come back later, and nobody works on the run until then; it goes on with
    /// [`Event::Resumed`].
    Parked {
        /// The stage that it goes on with.
        stage: Stage,
        /// Until when, in milliseconds since the Unix epoch.
        until_ms: u64,
        /// What is waited for, in a sentence.
        reason: String,
    },
    /// A stage begins, or has something to say.
    Status {
        /// The stage.
        stage: Stage,
        /// A sentence for a person.
        message: String,
    },
    /// The repository is fetched and the base is fixed.
    RepositoryFetched {
        /// The repository's URL, without credentials.
        url: String,
        /// The base branch.
        branch: String,
        /// The base commit.
        commit: String,
        /// The base commit's tree.
        tree: String,
    },
    /// The commands of the run are fixed.
    CommandsChosen {
        /// What installs dependencies.
        setup: Vec<String>,
        /// The checks.
        checks: Vec<String>,
    },
    /// A sandbox is open. A later one replaces it.
    SandboxOpened {
        /// The kind, as configured.
        kind: String,
        /// What re-attaches to it.
        handle: Value,
        /// Whether it holds the work on another commit than the run works on, only for checks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        elsewhere: bool,
    },
    /// The sandbox in which the model worked is not there any more; another one is made.
    SandboxLost,
    /// A sandbox has ended, and its service says what it used.
    SandboxUsed {
        /// All that it used, from its beginning.
        used: SandboxUsage,
    },
    /// Another sandbox is ready to go on in.
    WorkspaceRestored {
        /// Whether it holds the work as it was kept last, or none of it.
        has_work: bool,
    },
    /// A process in the sandbox asked for the network; accesses that are alike are joined.
    NetworkAccessed {
        /// What it asked for, and what became of it.
        access: NetworkAccess,
    },
    /// A conversation starts; its system prompt and tools are frozen.
    ConversationStarted {
        /// The model it is held with.
        provenance: Provenance,
        /// What the model can take.
        #[serde(default)]
        limits: ModelLimits,
        /// The system prompt.
        system: String,
        /// The tools offered.
        tools: Vec<ToolSpec>,
        /// What it begins with.
        #[serde(default, skip_serializing_if = "Beginning::is_empty")]
        beginning: Beginning,
    },
    /// Another provider goes on with the conversation, because the one before is spent. It gets no
    /// reasoning of the others.
    ProviderChanged {
        /// The model that goes on.
        provenance: Provenance,
        /// What it can take.
        #[serde(default)]
        limits: ModelLimits,
    },
    /// The conversation is too long. What follows is about shortening it.
    CompactionStarted,
    /// The conversation that started anew last is the one to go on with.
    CompactionEnded,
    /// The conversation cannot go on as it is and starts anew: the same system prompt and tools, and
    /// these items instead of all before.
    ConversationReset {
        /// Why.
        #[serde(default)]
        reason: ResetReason,
        /// What it starts with.
        items: Vec<Item>,
        /// About how many tokens a request had before.
        tokens_before: u64,
        /// About how many one has now.
        tokens_after: u64,
    },
    /// An item is appended to the conversation, other than a tool's result.
    ItemAppended {
        /// The item.
        item: Item,
    },
    /// Somebody said something to the model, which is appended to the conversation.
    MessageHeard {
        /// Its number in the store, by which it is heard once.
        number: u64,
        /// What was said.
        text: String,
    },
    /// The model thinks; several small pieces may be joined into one event.
    ReasoningDelta {
        /// The added text.
        delta: String,
    },
    /// The model writes; the whole text follows as [`Event::ItemAppended`].
    MessageDelta {
        /// The added text.
        delta: String,
    },
    /// A reply of the model is complete.
    ModelReplied {
        /// Why it stopped.
        stop: StopReason,
        /// What it cost.
        usage: TokenUsage,
        /// The cost in US dollars, where the model has prices.
        usd: Option<f64>,
        /// Wall time of the call in milliseconds.
        duration_ms: u64,
    },
    /// A reply of the model was asked for and did not come to its end: it broke off, was refused, or the owner
    /// that was reading it is gone. It counts as a call all the same.
    ReplyLost {
        /// What it cost as far as that is known; of one whose owner is gone, its request.
        usage: TokenUsage,
        /// The cost in US dollars, where the model has prices.
        usd: Option<f64>,
    },
    /// A tool call is about to run.
    ToolStarted {
        /// The call.
        call_id: String,
        /// The tool server's name.
        server: String,
        /// The tool's name on that server.
        tool: String,
    },
    /// A running tool wrote output.
    ToolOutputDelta {
        /// The call.
        call_id: String,
        /// The added output.
        delta: String,
    },
    /// A tool call is answered, whether well or not; its result is appended to the conversation.
    ToolAnswered {
        /// The call.
        call_id: String,
        /// The tool server's name.
        server: String,
        /// The tool's name on that server.
        tool: String,
        /// The arguments; a string where they were not JSON.
        arguments: Value,
        /// The result, as the model sees it.
        parts: Vec<Part>,
        /// Whether the result is an error the model may repair.
        is_error: bool,
        /// The result in the tool's own structure, if it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        structured: Option<Value>,
        /// How it is shown.
        #[serde(default)]
        view: ToolView,
        /// Wall time in milliseconds.
        duration_ms: u64,
    },
    /// A tool server was lost and is back; it may have forgotten what it knew.
    ToolServerRestarted {
        /// The tool server's name.
        server: String,
        /// How it ended.
        reason: String,
    },
    /// A tool server was lost for good.
    ToolServerLost {
        /// The tool server's name.
        server: String,
        /// How it ended, and why it stays so.
        reason: String,
    },
    /// A tool server lists other tools than the conversation knows. The conversation keeps its own:
    /// what is new is for the next run, and what is another or gone is not called any more.
    ToolListChanged {
        /// The tool server's name.
        server: String,
        /// Names that are new.
        added: Vec<String>,
        /// Names whose definition is another.
        changed: Vec<String>,
        /// Names that are gone.
        removed: Vec<String>,
    },
    /// The model goes in circles.
    CircleFound {
        /// What it does, in a sentence.
        what: String,
        /// Whether it was told before, so that the run ends.
        ends: bool,
    },
    /// A check has run.
    Checked {
        /// What it did.
        report: CheckReport,
    },
    /// The model is asked to mend what its change broke; the item that says so follows.
    RepairAsked,
    /// The patch of the work so far is stored.
    PatchStored {
        /// Its size in bytes.
        bytes: u64,
        /// How many files it changes.
        files: u64,
        /// The tree it leads to.
        tree: String,
        /// Whether it is not what the model ended with: it is kept in case the sandbox is lost, or because the
        /// run ends early.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        during_work: bool,
    },
    /// The work equals the base again: the patch that was stored is removed.
    PatchRemoved,
    /// The branch is about to be pushed. Whoever goes on with the run pushes the same.
    PushStarted {
        /// The branch.
        branch: String,
        /// The tree that is pushed.
        tree: String,
        /// The commit that it is put on, where that is not the one that the run began on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onto: Option<String>,
        /// The fork that it is pushed to, if to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fork: Option<ForgeRepository>,
        /// What became of the branch that the change is proposed to, where a person should know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<BaseMove>,
        /// Whether the code host is asked to make the commit, for which the branch is first made where the commit
        /// is put on it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        verified: bool,
    },
    /// The branch is pushed.
    BranchPushed {
        /// The branch.
        branch: String,
        /// The commit.
        commit: String,
        /// The fork that it is pushed to, if to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fork: Option<ForgeRepository>,
        /// The files of the checks themselves that the run's commit touches.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        check_files: Vec<String>,
    },
    /// A pull request is open.
    PullRequestOpened {
        /// Its page.
        url: String,
        /// Its number.
        number: u64,
        /// The branch it proposes.
        branch: String,
        /// The branch it is proposed to.
        base: String,
        /// Whether it is a draft.
        draft: bool,
    },
    /// Something went wrong. The run may go on.
    Error {
        /// What kind of thing.
        kind: FailureKind,
        /// What happened, to which thing, and what to do.
        message: String,
        /// Whether the same thing is tried again.
        retrying: bool,
        /// Which attempt failed, from 1.
        attempt: u32,
    },
    /// Last of all, whatever happened.
    Done {
        /// How it ended.
        outcome: Outcome,
        /// Why, in a sentence or more.
        summary: String,
        /// The pull request's page.
        pr_url: Option<String>,
        /// The pushed branch.
        branch: Option<String>,
        /// Whether there is a patch to download.
        has_patch: bool,
        /// What it cost.
        usage: RunUsage,
    },
}
