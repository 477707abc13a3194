//! What a client asks for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::publish::Publish;

/// The id of a run. Sorts by creation time.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct RunId(pub String);

impl RunId {
    /// The random tail, short enough for a branch name.
    #[must_use]
    pub fn short(&self) -> &str {
        let tail = self.0.len().saturating_sub(8);
        self.0.get(tail..).unwrap_or(&self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The body of `POST /code`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunRequest {
    /// The git URL of the repository.
    #[schemars(regex(pattern = r"\S"))]
    pub repo_url: String,
    /// What to do, in a sentence or more.
    #[schemars(regex(pattern = r"\S"))]
    pub prompt: String,
    /// The branch to start from and to propose the change to; the default branch if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\S"))]
    pub base_branch: Option<String>,
    /// The branch to push; derived from the prompt and the run's id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\S"))]
    pub branch: Option<String>,
    /// The provider row to use; `[agent] provider` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\S"))]
    pub provider: Option<String>,
    /// The model to ask for; the row's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\S"))]
    pub model: Option<String>,
    /// Whether the pull request is opened as a draft.
    #[serde(default)]
    pub draft: bool,
    /// How the change reaches the repository; it can only be as careful as the configured way, or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Publish>,
    /// Limits of this run; they can only lower the configured ones.
    #[serde(default)]
    pub budget: BudgetLimits,
    /// Commands whose results are evidence; they replace the configured and the found ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(regex(pattern = r"\S")))]
    pub checks: Option<Vec<String>>,
    /// The run whose change this one goes on with. It comes from a message to that run, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip_deserializing)]
    pub follows: Option<RunId>,
    /// Whether the caller has sent a token of its own for the code host, which is nowhere in a run's log.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(skip_deserializing)]
    pub caller_token: bool,
    /// The conversation on a code host that it comes from. Requests over the API have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip_deserializing)]
    pub origin: Option<RunOrigin>,
}

/// Where a run comes from that was asked for on a code host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunOrigin {
    /// Who asked for it, by the login there; absent where a failed check did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// The number of the issue or pull request where its progress is told.
    pub thread: u64,
    /// The issue that its change is to settle, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<u64>,
    /// Which attempt it is to repair a failed check of its own pull request, from 1, since people last said
    /// something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl RunRequest {
    /// A task for a repository, with everything else as configured.
    #[must_use]
    pub fn new(repo_url: impl Into<String>, prompt: impl Into<String>) -> Self {
        Self {
            repo_url: repo_url.into(),
            prompt: prompt.into(),
            base_branch: None,
            branch: None,
            provider: None,
            model: None,
            draft: false,
            publish: None,
            budget: BudgetLimits::default(),
            checks: None,
            follows: None,
            caller_token: false,
            origin: None,
        }
    }

    /// What is asked for by a message to a run that has ended: the same as of that one, but for the task.
    #[must_use]
    pub fn following(&self, run: &RunId, message: String) -> Self {
        let said = |origin: RunOrigin| RunOrigin {
            repair: None,
            ..origin
        };
        Self {
            prompt: message,
            follows: Some(run.clone()),
            origin: self.origin.clone().map(said),
            ..self.clone()
        }
    }
}

/// Upper bounds of a run. An absent one is not lowered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetLimits {
    /// Model cost, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_usd: Option<f64>,
    /// Model tokens, input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Model calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_turns: Option<u32>,
    /// Wall time of the whole run, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max_minutes: Option<f64>,
}
