//! The script file.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use pullwright_protocol::provider::{Prices, StopReason};
use serde::Deserialize;
use serde_json::Value;

use super::expectation::Expectation;

/// A script: the replies of a model, in order.
///
/// ```toml
/// piece_chars = 16
///
/// [[replies]]
/// steps = [
///   { thinking = "the test fails because of a missing comma" },
///   { text = "I mend it." },
///   { tool_call = { name = "edit", arguments = { path = "a.txt", old_str = "a", new_str = "b" } } },
///   { usage = { input_tokens = 100, output_tokens = 20 } },
/// ]
///
/// [[replies]]
/// expect = { results_contain = ["replaced"] }
/// steps = [{ fault = { kind = "overloaded", attempts = 1 } }, { text = "Done." }]
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    #[serde(default = "default_model")]
    pub(super) model: String,
    /// Text is streamed in pieces of so many characters; in one piece if absent.
    #[serde(default)]
    pub(super) piece_chars: Option<NonZeroU16>,
    /// Whether the model's items must come back as they were sent.
    #[serde(default)]
    pub(super) verify_replay: bool,
    #[serde(default)]
    pub(super) context_tokens: Option<u64>,
    #[serde(default)]
    pub(super) max_output_tokens: Option<u64>,
    #[serde(default)]
    pub(super) prices: Option<Prices>,
    /// Whether compactions are asked of the script, as the reply that is due.
    #[serde(default)]
    pub(super) compacts: bool,
    pub(super) replies: Vec<Reply>,
    /// The replies in conversations that started anew, the first that fits.
    #[serde(default)]
    pub(super) episodes: Vec<Episode>,
}

/// Replies for a conversation that started anew from a summary.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Episode {
    /// What a user item of the conversation contains.
    pub(super) user_contains: String,
    pub(super) replies: Vec<Reply>,
}

/// One reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) expect: Expectation,
    pub(super) steps: Vec<Step>,
    /// Why the model stops; by default for a tool if there is a call, else at the end of its turn.
    #[serde(default)]
    pub(super) stop: Option<StopReason>,
}

/// One piece of a reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// The model writes.
    Text(String),
    /// The model thinks.
    Thinking(String),
    /// The model calls a tool.
    ToolCall(Call),
    /// What stands for the conversation so far, where a compaction was asked for.
    Compaction(String),
    /// What people should know.
    Notice(String),
    /// What the reply cost.
    Usage(Usage),
    /// The reply breaks here; a compaction in the same reply is there for who asks for one all the same.
    Fault(Fault),
    /// Nothing happens for so many milliseconds.
    DelayMs(u64),
    /// Nothing happens any more, until the reader cancels.
    Hang,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) name: String,
    /// A table, or a string that is sent as it is, well-formed or not.
    #[serde(default)]
    pub(super) arguments: Value,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) cache_write_tokens: u64,
    pub(super) output_tokens: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// How many attempts at this reply it breaks; every one if absent.
    #[serde(default)]
    pub(super) attempts: Option<u32>,
    #[serde(default)]
    pub(super) retry_after_ms: Option<u64>,
    /// Whether it breaks only where reasoning of the model comes back.
    #[serde(default)]
    pub(super) while_reasoning: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
    Overloaded,
    RateLimited,
    CutStream,
    InvalidRequest,
    Auth,
    Budget,
    ContextOverflow,
    ReasoningRejected,
}

/// Why a script cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file does not hold a script.
    #[error("the script {} is not right: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: String,
    },
}

impl Script {
    /// Reads a script file: JSON if its extension says so, else TOML.
    ///
    /// # Errors
    /// [`ScriptError`], naming the file and the line.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?;
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let parsed = if is_json {
            Self::from_json(&text)
        } else {
            Self::from_toml(&text)
        };
        parsed.map_err(|reason| ScriptError::Parse {
            path: path.to_owned(),
            reason,
        })
    }

    /// Reads a script in TOML.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Reads a script in JSON.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn from_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

fn default_model() -> String {
    "scripted".to_owned()
}
