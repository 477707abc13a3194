//! A commit that the code host makes itself, so that it can vouch for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ForgeRepository;

/// Role of the tool that takes [`CommitOnBranch`] and answers [`MadeCommit`]. Without it, no commit is verified.
pub const COMMIT_ROLE: &str = "forge.commit";

/// A commit to make on a branch that is there: one parent, which is the branch's head, and these files changed in
/// it. It is made only if the head is still the one that is expected, so a second call with the same arguments
/// makes none; where the head is the commit that the first one made, that is the answer. Author is the account of
/// the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommitOnBranch {
    /// Where the branch is: the repository, or a fork of it.
    pub repository: ForgeRepository,
    /// The branch.
    pub branch: String,
    /// The commit that must be the branch's head.
    pub expected_head: String,
    /// The message's first line.
    pub title: String,
    /// The rest of the message; may be empty.
    pub body: String,
    /// Files that are new or have other contents: regular ones, that are not executable.
    pub additions: Vec<AddedFile>,
    /// The paths of files that are gone.
    pub deletions: Vec<String>,
}

/// The whole of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedFile {
    /// Its path, with `/` between folders.
    pub path: String,
    /// Its bytes, in base64.
    pub contents: String,
}

/// The commit that is the branch's head now. Whoever asked for it looks whether its tree and its parent are what
/// they should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeCommit {
    /// Its hash.
    pub commit: String,
}
