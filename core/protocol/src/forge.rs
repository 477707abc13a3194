//! The contract of a forge: a host-side tool server that knows a code host.
//!
//! A forge marks its pipeline tools with a role in `_meta` ([`crate::tool::ROLE_META_KEY`]).
//! Arguments and results (`structuredContent`) are the types below. The framework calls them;
//! a model never sees them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Role of the tool that takes [`ForgeRepository`] and answers [`Preflight`].
pub const PREFLIGHT_ROLE: &str = "forge.preflight";
/// Role of the tool that takes [`ForgeRepository`] and answers [`ForgeCredential`].
pub const CREDENTIAL_ROLE: &str = "forge.credential";
/// Role of the tool that takes [`OpenPullRequest`] and answers [`OpenedPullRequest`].
pub const PULL_REQUEST_ROLE: &str = "forge.pull_request";
/// Role of the tool that takes [`ForgeBranch`] and answers [`FoundPullRequest`]. A forge may be without it;
/// a pull request then counts as open as long as its branch is there.
pub const FIND_PULL_REQUEST_ROLE: &str = "forge.find_pull_request";

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeRepository {
    /// The git URL's origin, such as `https://github.com`.
    pub origin: String,
    /// The account or organisation.
    pub owner: String,
    /// The repository's name, without `.git`.
    pub name: String,
}

/// What the token in use may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preflight {
    /// The default branch.
    pub default_branch: String,
    /// Whether a branch can be pushed.
    pub can_push: bool,
    /// Whether the repository is archived, so that nothing can be pushed or opened.
    pub archived: bool,
    /// Whether the repository is private.
    pub private: bool,
    /// Its size as the forge reports it, in KiB.
    pub size_kib: Option<u64>,
    /// What a person should know, such as a missing right and its remedy.
    pub warnings: Vec<String>,
}

/// A short-lived credential for one repository, good only for [`ForgeCredential::origin`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeCredential {
    /// Scheme, host and port it may be sent to.
    pub origin: String,
    /// The user name of HTTP basic authentication.
    pub username: String,
    /// The secret. Absent for an anonymous caller.
    pub password: Option<String>,
}

impl fmt::Debug for ForgeCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForgeCredential")
            .field("origin", &self.origin)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

/// A branch of a repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeBranch {
    /// Where.
    pub repository: ForgeRepository,
    /// The branch.
    pub head: String,
}

/// What was found of a branch's pull requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundPullRequest {
    /// The one that is open; absent where there is none, or where it was merged or closed.
    pub open: Option<OpenedPullRequest>,
}

/// A pull request to open, or to update where one from the same branch is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenPullRequest {
    /// Where.
    pub repository: ForgeRepository,
    /// The pushed branch.
    pub head: String,
    /// The commit the branch was pushed at.
    pub head_sha: String,
    /// The branch to merge into.
    pub base: String,
    /// The title, one line, as plain text.
    pub title: String,
    /// What the change does, written by the model: untrusted, so the forge fences it.
    pub summary: String,
    /// What the framework recorded, as Markdown: trusted.
    pub evidence: String,
    /// Whether to open it as a draft.
    pub draft: bool,
}

/// An open pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedPullRequest {
    /// Its page.
    pub url: String,
    /// Its number.
    pub number: u64,
    /// Whether it is a draft; the forge may not allow one.
    pub draft: bool,
    /// The branch that it is to be merged into, where the forge says so: people may have chosen another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}
