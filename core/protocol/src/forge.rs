//! The contract of a forge: a tool server that knows a code host.
//!
//! A forge is an MCP server, in any language and reached in any way, that runs on the host and whose row in
//! `plugins.toml` names the git `hosts` that its token is for. It marks the tools of the pipeline with a role in
//! `_meta`, such as `{"pullwright/role": "forge.preflight"}` ([`crate::tool::ROLE_META_KEY`]); their names are
//! its own business. The framework calls them, and no model ever sees them. `pullwright tools check NAME` holds
//! a forge against what is said here; `examples/gitlab-forge` is a whole one.
//!
//! | role | there | arguments | result | called |
//! |---|---|---|---|---|
//! | [`PREFLIGHT_ROLE`] | always | [`ForgePreflight`] | [`Preflight`] | before anything is fetched, once more where a run cannot go on with the branch of the one that it follows, and by each later owner of the run |
//! | [`CREDENTIAL_ROLE`] | always | [`ForgeRepository`] | [`ForgeCredential`] | before each fetch and each push |
//! | [`PULL_REQUEST_ROLE`] | always; it makes a server a forge | [`OpenPullRequest`] | [`OpenedPullRequest`] | after the push |
//! | [`FIND_PULL_REQUEST_ROLE`] | may be left out | [`ForgeBranch`] | [`FoundPullRequest`] | when a run follows another, to see whether its pull request is still open |
//! | [`FORK_ROLE`] | may be left out | [`ForgeRepository`] | [`Forked`] | before the push, where a change is proposed from a fork |
//! | [`PULL_REQUEST_DETAILS_ROLE`] | may be left out | [`PullRequestDetails`] | [`DetailsSet`] | after the pull request was opened, where `[pull_request]` asks for people or labels |
//! | [`COMMIT_ROLE`] | may be left out; no commit is verified then | [`CommitOnBranch`] | [`MadeCommit`] | instead of the push, where `[commit] verified` asks for it; the branch was pushed at the commit's parent |
//! | [`PERMISSION_ROLE`] | may be left out; nobody starts a run by a word there then | [`ForgeUser`] | [`ForgePermission`] | for each delivery of a webhook that a person has caused |
//! | [`PULL_REQUEST_HEAD_ROLE`], [`COMMENT_ROLE`], [`FAILED_CHECKS_ROLE`], [`CHECK_RUN_ROLE`] | may be left out | see there | | for runs that webhooks have started |
//!
//! **Arguments and results** are JSON objects; results are `structuredContent`. The contract grows: a forge
//! ignores fields of arguments that it does not know, as the framework does with results. What is an `Option`
//! here may be `null`, or left out of a result.
//!
//! **Which repository.** A run uses the forge whose row names its host; a host has one, and a host without one
//! gets a branch and no pull request, which the run says before it costs anything. A forge refuses every
//! repository whose [`ForgeRepository::origin`] is not its own, so that its token is never sent elsewhere; it
//! follows no redirect with the token.
//!
//! **Errors** are answers with `isError`, whose text is shown to people: what happened, to which thing, and
//! what to do. One ends the run as `failed(forge)`: at the preflight before any money is spent, later with the
//! patch kept, and after the push with the branch where it is, which a message to the run proposes again.
//! One of [`FORK_ROLE`] leaves a patch, and one of [`PULL_REQUEST_DETAILS_ROLE`] is a warning at the end. What
//! can be seen and not pushed to is no error: [`Preflight::can_push`] is false and [`Preflight::why_no_push`] says why; the
//! run works then, and ends with its patch. What [`COMMIT_ROLE`] refuses is pushed as ever or kept as a patch, as
//! `[commit] verified` says, once the branch was looked at.
//!
//! **Repeating.** All roles may be called again with the same arguments and must then do no more than once:
//! by the next owner of a run whose server died, by the next run of a line (the same branch with another
//! commit), and once by the framework when the forge dies during a call, if the tool is marked as read-only or
//! idempotent. So [`PULL_REQUEST_ROLE`] updates the open pull request of the branch instead of opening another
//! one, and looks for it before it repeats a request that may have been carried out. Otherwise the framework
//! repeats nothing: retries towards the code host, and waiting as long as it asks for, are the forge's business,
//! within the row's `tool_timeout_sec`. A wait that does not fit into it is an error with [`ForgeLater`] as its
//! `structuredContent`, and the run is put aside until then, as far as it may wait: not for an outage before it has
//! made anything, nor for one of [`COMMIT_ROLE`] where a push may take its place, and only for minutes for
//! [`PULL_REQUEST_DETAILS_ROLE`].
//!
//! **Untrusted text.** Title and summary are a model's words: they must call nobody, close nothing and be no
//! command of the code host. The evidence is the framework's own Markdown. Branches and the repository's names
//! come from whoever asked for the run. Words, a target branch and a draft state that people have changed on an
//! open pull request stay.
//!
//! **The token** comes from a variable that the row names in `env_vars`, leaves the forge only as
//! [`ForgeCredential::password`], and stands in no message. Neither the log nor a model gets to see that
//! answer. A token that a caller brings for one run is given to the built-in `github` alone; runs with one are
//! refused elsewhere.
//!
//! Tools without a role are offered to models like those of any server: they should only read, and only in the
//! repository that each call carries in its `_meta` ([`crate::tool::REPOSITORY_META_KEY`]).

mod commit;
mod preflight;
mod roles;

mod thread;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::RunId;
pub use commit::{AddedFile, COMMIT_ROLE, CommitOnBranch, MadeCommit};
pub use preflight::{ForgePreflight, PlannedPush, Preflight};
pub use roles::{ForgeRole, forge_roles};
pub use thread::{
    CHECK_RUN_ROLE, COMMENT_ROLE, FAILED_CHECKS_ROLE, FailedCheck, FailedChecks, ForgeCheckRun,
    ForgeComment, ForgeCommit, ForgePermission, ForgeThread, ForgeUser, PERMISSION_ROLE,
    PULL_REQUEST_HEAD_ROLE, PostedCheckRun, PostedComment, PullRequestHead,
};

/// Role of the tool that takes [`ForgePreflight`] and answers [`Preflight`].
pub const PREFLIGHT_ROLE: &str = "forge.preflight";
/// Role of the tool that takes [`ForgeRepository`] and answers [`ForgeCredential`].
pub const CREDENTIAL_ROLE: &str = "forge.credential";
/// Role of the tool that takes [`OpenPullRequest`] and answers [`OpenedPullRequest`].
pub const PULL_REQUEST_ROLE: &str = "forge.pull_request";
/// Role of the tool that takes [`ForgeBranch`] and answers [`FoundPullRequest`]. A forge may be without it;
/// a pull request then counts as open as long as its branch is there.
pub const FIND_PULL_REQUEST_ROLE: &str = "forge.find_pull_request";
/// Role of the tool that takes [`ForgeRepository`] and answers [`Forked`]: it finds the account's fork, or makes
/// one and waits until it can be pushed to. A forge may be without it; changes are then branches only.
pub const FORK_ROLE: &str = "forge.fork";
/// Role of the tool that takes [`PullRequestDetails`] and answers [`DetailsSet`]. A forge may be without it. The same
/// may be asked for again, and is then as asked for once.
pub const PULL_REQUEST_DETAILS_ROLE: &str = "forge.pull_request_details";

/// What a tool of a forge answers, as the `structuredContent` of an error, where only the time is wrong and the same
/// call may succeed later: a limit of the code host is reached, or the host is out of order. A run is put aside until
/// then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeLater {
    /// How long to wait before the next call, in milliseconds.
    pub retry_after_ms: u64,
    /// What is to be waited for, in a sentence for a person.
    pub reason: String,
    /// Whether the host is out of order, or cannot be reached, and nobody knows for how long. A run that has made
    /// nothing yet does not wait for that.
    #[serde(default)]
    pub is_outage: bool,
}

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgeRepository {
    /// The git URL's origin, such as `https://github.com`.
    pub origin: String,
    /// The account or organisation; where there are groups in groups, all of them, such as `group/sub`.
    pub owner: String,
    /// The repository's name, without `.git`.
    pub name: String,
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
    /// The fork that it is in, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_repository: Option<ForgeRepository>,
}

/// A fork that can be pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forked {
    /// Where.
    pub repository: ForgeRepository,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Who and what is put to a pull request, beside what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullRequestDetails {
    /// Where.
    pub repository: ForgeRepository,
    /// Its number.
    pub number: u64,
    /// Labels.
    pub labels: Vec<String>,
    /// People whose review is asked for.
    pub reviewers: Vec<String>,
    /// Teams whose review is asked for.
    pub team_reviewers: Vec<String>,
    /// People who are to see to it.
    pub assignees: Vec<String>,
    /// Whether an earlier call may have set a part, which is then not set once more: people may have taken it away.
    #[serde(default)]
    pub again: bool,
}

/// What became of [`PullRequestDetails`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetailsSet {
    /// What was not taken, and why: a sentence each.
    pub warnings: Vec<String>,
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
    /// The fork that it is in, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_repository: Option<ForgeRepository>,
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
    /// The run that proposes it, by which its pull request is found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The repository's own template of a description: untrusted. It is used where the description is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
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
