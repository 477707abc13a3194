//! What is asked of a forge before anything costs money, and what it says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ForgeRepository;

/// A repository, and what a run means to do there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgePreflight {
    /// Where.
    #[serde(flatten)]
    pub repository: ForgeRepository,
    /// The branch that the change is for; where it is absent, the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// What is to be pushed to the repository itself; absent where nothing is, or where a fork is pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PlannedPush>,
}

/// What a run means to push, as far as it is known before the work is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPush {
    /// The branch.
    pub branch: String,
    /// Whether the branch is there already, and gets one more commit.
    #[serde(default)]
    pub grows: bool,
    /// The email address of author and committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether a merge commit may be among what is pushed.
    #[serde(default)]
    pub merges: bool,
    /// Whether the code host makes the commits itself and signs them, so that their author is its own business.
    #[serde(default)]
    pub verified: bool,
}

/// What the token in use may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preflight {
    /// The default branch.
    pub default_branch: String,
    /// Whether a branch can be pushed: the one of [`ForgePreflight::push`], where one is named.
    pub can_push: bool,
    /// Why not, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_no_push: Option<String>,
    /// Whether a fork can be made and proposed from, as far as is known; see [`super::FORK_ROLE`].
    #[serde(default)]
    pub can_fork: bool,
    /// Why not, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_no_fork: Option<String>,
    /// Why files that tell the code host what to run, such as workflows, cannot be pushed, with the remedy, where
    /// that is known. A run says it where its policy allows changes of such files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_no_workflows: Option<String>,
    /// What a change needs to be merged into the base branch, as far as is known: a few words each, such as
    /// `2 approving reviews`. A run tells it to people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_needs: Vec<String>,
    /// Whether the repository is archived, so that nothing can be pushed or opened.
    pub archived: bool,
    /// Whether the repository is private.
    pub private: bool,
    /// Its size as the forge reports it, in KiB.
    pub size_kib: Option<u64>,
    /// What a person should know, such as a missing right and its remedy.
    pub warnings: Vec<String>,
}
