//! A run that goes on with the change of another one, which has ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CheckReport;
use crate::forge::ForgeRepository;
use crate::item::{Item, Provenance};
use crate::outcome::Outcome;
use crate::request::RunId;
use crate::tool::ToolSpec;

/// What became of a run and of those that it followed itself: all that the run which follows it needs of
/// their logs, so that it does not depend on them any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Followed {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in a sentence or more.
    pub summary: String,
    /// What people asked for without a model hearing it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<String>,
    /// The branch that the change is proposed to, where that was found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether a run of this line has published on the branch that was asked for, so that it is not used anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_branch_used: bool,
    /// Where the change was published, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
    /// Work that is kept as a patch and not published, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptWork>,
    /// The conversation with the model, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<FollowedConversation>,
}

/// A change on a branch of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// The branch.
    pub branch: String,
    /// The commit that was pushed to it last.
    pub commit: String,
    /// The fork that it is in, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<ForgeRepository>,
    /// The pull request's page, if one was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr_url: Option<String>,
    /// What the model said of each pushed commit, oldest first: a title, and after a blank line more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summaries: Vec<String>,
    /// What the checks said before the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<CheckReport>,
    /// The files of the checks themselves that the commits touch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check_files: Vec<String>,
}

/// Work that is kept as a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptWork {
    /// The branch that it was made on.
    pub branch: String,
    /// The commit that it was made on.
    pub commit: String,
    /// The tree it leads to.
    pub tree: String,
    /// How many files it changes.
    pub files: u64,
}

/// A conversation as it was when its run ended, with each call answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FollowedConversation {
    /// The model that it began with, which its tools suit.
    pub first: Provenance,
    /// The model that it was held with last.
    pub last: Provenance,
    /// The system prompt.
    pub system: String,
    /// The tools offered.
    pub tools: Vec<ToolSpec>,
    /// The items.
    pub items: Vec<Item>,
    /// About how many tokens a request with them has.
    pub tokens: u64,
}

/// What a conversation begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// Nothing.
    #[default]
    Empty,
    /// All that was said in the conversation of the run that is followed.
    Followed,
    /// The same without reasoning, since the system prompt or the tools are not those of then.
    FollowedWithoutReasoning,
}

impl Beginning {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }
}
