//! How a change reaches its repository.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a change reaches its repository. A pushed branch runs the repository's CI with its secrets, a fork's
/// branch runs it without, and a patch runs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// As a branch of the repository where that is allowed, else from a fork.
    #[default]
    Auto,
    /// As a branch of the repository, or not at all.
    Branch,
    /// From a fork of the repository, or not at all.
    Fork,
    /// Not at all: the patch is kept.
    Patch,
}

impl Publish {
    /// All of them, the least careful first.
    pub const ALL: &[Self] = &[Self::Auto, Self::Branch, Self::Fork, Self::Patch];

    /// The name, as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Branch => "branch",
            Self::Fork => "fork",
            Self::Patch => "patch",
        }
    }

    /// Whether it never lets a change go further than `other` does.
    #[must_use]
    pub fn is_as_careful_as(self, other: Self) -> bool {
        self.reach() <= other.reach()
    }

    fn reach(self) -> u8 {
        match self {
            Self::Patch => 0,
            Self::Fork => 1,
            Self::Branch | Self::Auto => 2,
        }
    }
}
