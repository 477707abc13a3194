//! How a run ends.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How a run ended. On the wire it is one phrase, such as `branch only` or `failed(clone)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A pull request is open.
    PullRequest,
    /// The branch is pushed; no forge was there to open a pull request.
    BranchOnly,
    /// The change could not or must not be pushed; the patch is kept.
    PatchOnly,
    /// The model finished without changing anything.
    NoChanges,
    /// Something broke; the patch, if there is one, is kept.
    Failed(FailureKind),
    /// Somebody cancelled it.
    Cancelled,
    /// A budget was used up.
    BudgetReached,
}

macro_rules! failure_kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What kind of thing went wrong. Also the `kind` of an `Error` frame and of an API error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailureKind { $($(#[$doc])* $variant,)* }

        impl FailureKind {
            /// All kinds, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

failure_kinds! {
    /// The request is malformed or names something that does not exist.
    BadRequest = "bad_request",
    /// The configuration does not allow or does not hold what is needed.
    Config = "config",
    /// The repository cannot be seen or used.
    Repository = "repository",
    /// Cloning broke.
    Clone = "clone",
    /// A token is missing, expired or not good enough.
    Credential = "credential",
    /// The sandbox cannot be opened or died.
    Sandbox = "sandbox",
    /// A `[setup]` step failed.
    Setup = "setup",
    /// A required tool server did not start, or its connection broke for good.
    ToolServer = "tool_server",
    /// The provider refused the key.
    ProviderAuth = "provider_auth",
    /// The provider's account is out of money or quota.
    ProviderBudget = "provider_budget",
    /// The provider says the request is invalid.
    ProviderRequest = "provider_request",
    /// The provider asks to slow down.
    RateLimited = "rate_limited",
    /// The provider has no capacity.
    Overloaded = "overloaded",
    /// The connection to the provider broke or its stream ended early.
    Transport = "transport",
    /// The model refused.
    Refusal = "refusal",
    /// The conversation no longer fits the model.
    ContextOverflow = "context_overflow",
    /// The provider does not take its own reasoning back.
    ReasoningRejected = "reasoning_rejected",
    /// The model's reply makes no sense, again and again.
    MalformedReply = "malformed_reply",
    /// The model went in circles, also after it was told.
    Stuck = "stuck",
    /// Taking the work out of the sandbox failed, or what came out is not sound.
    Export = "export",
    /// Pushing failed.
    Push = "push",
    /// Opening the pull request failed.
    Forge = "forge",
    /// A size or time limit was exceeded.
    Limit = "limit",
    /// The server stopped while the run was under way.
    Interrupted = "interrupted",
    /// A defect of Pullwright itself.
    Internal = "internal",
}

impl Outcome {
    /// All outcomes, for tables and tests.
    pub fn all() -> impl Iterator<Item = Self> {
        let failed = FailureKind::ALL.iter().copied().map(Self::Failed);
        let others = [
            Self::PullRequest,
            Self::BranchOnly,
            Self::PatchOnly,
            Self::NoChanges,
            Self::Cancelled,
            Self::BudgetReached,
        ];
        others.into_iter().chain(failed)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailureKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown failure kind `{text}`"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PullRequest => "pull request",
            Self::BranchOnly => "branch only",
            Self::PatchOnly => "patch only",
            Self::NoChanges => "no changes",
            Self::Cancelled => "cancelled",
            Self::BudgetReached => "budget reached",
            Self::Failed(kind) => return write!(f, "failed({kind})"),
        })
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "pull request" => Self::PullRequest,
            "branch only" => Self::BranchOnly,
            "patch only" => Self::PatchOnly,
            "no changes" => Self::NoChanges,
            "cancelled" => Self::Cancelled,
            "budget reached" => Self::BudgetReached,
            other => {
                let kind = other
                    .strip_prefix("failed(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or_else(|| format!("unknown outcome `{other}`"))?;
                Self::Failed(kind.parse()?)
            }
        })
    }
}

macro_rules! as_string_on_the_wire {
    ($($name:ident = $all:expr, $doc:literal;)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let words: Vec<String> = $all.map(|word: Self| word.to_string()).collect();
                json_schema!({ "description": $doc, "type": "string", "enum": words })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_string_on_the_wire! {
    Outcome = Self::all(), "How a run ended.";
    FailureKind = Self::ALL.iter().copied(), "What kind of thing went wrong.";
}
