//! The record of who did what when: its entries. None holds a prompt, a change or a secret.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// The longest detail of an entry, in characters: callers choose parts of it.
const MAX_DETAIL_CHARS: usize = 300;

/// Something that was done, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Tells this entry from all others.
    #[serde(skip)]
    pub id: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who: the name of a key, or `command line`. Absent for somebody without a key.
    pub actor: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// What.
    pub action: Action,
    /// To which run or key.
    pub target: Option<String>,
    /// On which repository, as `host/owner/name`.
    pub repository: Option<String>,
    /// How it ended.
    pub outcome: Verdict,
    /// What else there is to say.
    pub detail: Option<String>,
    /// How often, where the same thing happened many times in a minute.
    pub count: u64,
}

/// An entry with its number, which grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Audited {
    /// Its number.
    pub seq: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$said:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$said])* $variant,)*
        }

        impl $name {
            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word,)*] })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("the record has an unknown word `{other}`")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// What was done.
    Action {
        /// A key was made.
        KeyCreated = "key.created",
        /// A key was ended.
        KeyRevoked = "key.revoked",
        /// A run was started.
        RunStarted = "run.started",
        /// Somebody asked for a run to end.
        RunCancelled = "run.cancelled",
        /// Somebody wrote to a run.
        RunMessaged = "run.messaged",
        /// A run's patch was downloaded.
        PatchDownloaded = "patch.downloaded",
        /// A request was refused for want of a key or a right.
        AccessRefused = "access.refused",
    }
}

words! {
    /// How something that was done ended.
    Verdict {
        /// It was done.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }
}

impl AuditEntry {
    /// Something that `actor` did now.
    #[must_use]
    pub fn now(actor: Option<&str>, action: Action) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            at_ms: pullwright_core::log::now_ms(),
            actor: actor.map(str::to_owned),
            address: None,
            action,
            target: None,
            repository: None,
            outcome: Verdict::Done,
            detail: None,
            count: 1,
        }
    }

    /// From where it was done.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.address = Some(address.to_string());
        self
    }

    /// To which run or key it was done.
    #[must_use]
    pub fn to(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// On which repository it was done.
    #[must_use]
    pub fn on(mut self, repo_url: &str) -> Self {
        self.repository = super::repository::name_of(repo_url);
        self
    }

    /// What else there is to say.
    #[must_use]
    pub fn saying(mut self, detail: &str) -> Self {
        self.detail = Some(detail.chars().take(MAX_DETAIL_CHARS).collect());
        self
    }

    /// That it was not done.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Verdict::Refused;
        self
    }
}
