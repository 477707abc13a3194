//! A run's log, taken apart into what a replay plays and what it is held against.

mod answers;
mod elsewhere;
mod one_owner;

use pullwright_protocol::provider::ModelLimits;
use pullwright_protocol::{
    Content, Event, Item, Outcome, Part, Provenance, RunId, RunRequest, ToolSpec,
};

use answers::Conversations;
use one_owner::OneOwner;

pub(super) use answers::{Answer, Heard, Progress};

/// What the first item that a model is told calls its workspace.
pub(super) const WORKSPACE_LINE: &str = "Working folder: ";

/// A recorded run.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its id, where that is known: a log does not hold it.
    pub(super) run: Option<RunId>,
    /// What was asked for.
    pub(super) request: RunRequest,
    /// The branch that it started from.
    pub(super) branch: String,
    /// The commit that it started from.
    pub(super) commit: String,
    /// The models that it was held with, in order, and what they could take.
    pub(super) models: Vec<(Provenance, ModelLimits)>,
    /// The conversations with them: another one begins where one started anew.
    pub(super) talks: Vec<Talk>,
    /// What the models answered, in order.
    pub(super) answers: Vec<Answer>,
    /// What was said to them meanwhile, in order.
    pub(super) heard: Vec<Heard>,
    /// The events, as one owner would have written them.
    pub(super) events: Vec<Event>,
    /// Why real tools cannot play it again, if they cannot.
    pub(super) only_recorded: Option<RecordingError>,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// A conversation, as a model was told it.
#[derive(Clone, Debug, Default)]
pub(super) struct Talk {
    /// The system prompt.
    pub(super) system: String,
    /// The tools.
    pub(super) tools: Vec<ToolSpec>,
    /// The items, to the conversation's end.
    pub(super) items: Vec<Item>,
}

/// Why a log cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It does not begin with a run.
    #[error("the log does not begin with a run's first event")]
    NoRun,
    /// It has no end.
    #[error("the run has not ended yet")]
    NoEnd,
    /// No model was asked.
    #[error("the run ended before a model was asked anything")]
    NoConversation,
    /// It went on with the change of another run.
    #[error(
        "the run follows run {0}, and what its model was told begins with what was said in that one; replay \
         that one"
    )]
    Follows(RunId),
    /// It went on where one owner alone is not interrupted.
    #[error(
        "the run went on with another owner just after its conversation had started anew (event {0} of its \
         log), and what the model was told there cannot be told again"
    )]
    ResumedAnew(usize),
    /// A call was interrupted with its owner.
    #[error(
        "a call of `{tool}` was interrupted when its server stopped (event {at} of the run's log), and nobody \
         knows what it did; replay the run with --tools recorded"
    )]
    Interrupted {
        /// The number of the event.
        at: usize,
        /// The tool.
        tool: String,
    },
    /// The sandbox was lost with its owner.
    #[error(
        "the run's sandbox was lost (event {0} of its log), and what was in it then is not known; replay the \
         run with --tools recorded"
    )]
    SandboxLost(usize),
}

impl Recording {
    /// Takes a log apart.
    ///
    /// # Errors
    /// When it is none of a run that asked a model and ended.
    pub fn of(run: Option<RunId>, events: Vec<Event>) -> Result<Self, RecordingError> {
        let Some(Event::RunCreated { request }) = events.first() else {
            return Err(RecordingError::NoRun);
        };
        let Some(Event::Done { outcome, .. }) = events.last() else {
            return Err(RecordingError::NoEnd);
        };
        if let Some(followed) = &request.follows {
            return Err(RecordingError::Follows(followed.clone()));
        }
        let (request, outcome) = (request.clone(), *outcome);
        let OneOwner {
            events,
            only_recorded,
        } = one_owner::of_one_owner(elsewhere::without_checks_elsewhere(events))?;
        let begun = events
            .iter()
            .position(|event| matches!(event, Event::ConversationStarted { .. }))
            .ok_or(RecordingError::NoConversation)?;
        let base = events[..begun].iter().rev().find_map(|event| match event {
            Event::RepositoryFetched { branch, commit, .. } => {
                Some((branch.clone(), commit.clone()))
            }
            _ => None,
        });
        let (branch, commit) = base.ok_or(RecordingError::NoConversation)?;
        let Conversations {
            talks,
            answers,
            heard,
        } = answers::read(&events, outcome);
        Ok(Self {
            run,
            request,
            branch,
            commit,
            models: events.iter().filter_map(model).collect(),
            talks,
            answers,
            heard,
            events,
            only_recorded,
            outcome,
        })
    }

    /// The first thing that the model was told.
    #[must_use]
    pub(super) fn first_item(&self) -> &[Item] {
        let first = self.talks.first().map(|talk| talk.items.as_slice());
        first.unwrap_or_default()
    }

    /// The tools that the model was offered.
    #[must_use]
    pub(super) fn tools(&self) -> &[ToolSpec] {
        let first = self.talks.first().map(|talk| talk.tools.as_slice());
        first.unwrap_or_default()
    }
}

/// The model's workspace, as its first item names it.
#[must_use]
pub(super) fn workspace_of(items: &[Item]) -> Option<&str> {
    let lines = text_of(items.first()?)?.lines();
    let mut named = lines.filter_map(|line| line.strip_prefix(WORKSPACE_LINE));
    named.next()
}

/// The text of an item that the framework said.
pub(super) fn text_of(item: &Item) -> Option<&str> {
    match &item.content {
        Content::User { parts } => match parts.as_slice() {
            [Part::Text { text }] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn model(event: &Event) -> Option<(Provenance, ModelLimits)> {
    match event {
        Event::ConversationStarted {
            provenance, limits, ..
        }
        | Event::ProviderChanged { provenance, limits } => Some((provenance.clone(), *limits)),
        _ => None,
    }
}
