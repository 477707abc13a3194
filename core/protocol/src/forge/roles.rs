//! The roles of the contract as data, for whoever holds a forge against it.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use super::{
    CHECK_RUN_ROLE, COMMENT_ROLE, COMMIT_ROLE, CREDENTIAL_ROLE, CommitOnBranch, DetailsSet,
    FAILED_CHECKS_ROLE, FIND_PULL_REQUEST_ROLE, FORK_ROLE, FailedChecks, ForgeBranch,
    ForgeCheckRun, ForgeComment, ForgeCommit, ForgeCredential, ForgePermission, ForgePreflight,
    ForgeRepository, ForgeThread, ForgeUser, Forked, FoundPullRequest, MadeCommit, OpenPullRequest,
    OpenedPullRequest, PERMISSION_ROLE, PREFLIGHT_ROLE, PULL_REQUEST_DETAILS_ROLE,
    PULL_REQUEST_HEAD_ROLE, PULL_REQUEST_ROLE, PostedCheckRun, PostedComment, Preflight,
    PullRequestDetails, PullRequestHead,
};

/// A role of the contract.
#[derive(Clone, Debug)]
pub struct ForgeRole {
    /// What a tool's `_meta` says.
    pub name: &'static str,
    /// Whether a forge must have it.
    pub is_required: bool,
    /// The JSON Schema of its arguments.
    pub arguments: Value,
    /// The JSON Schema of its result.
    pub result: Value,
}

/// All roles, those that must be there first.
#[must_use]
pub fn forge_roles() -> Vec<ForgeRole> {
    vec![
        role::<ForgePreflight, Preflight>(PREFLIGHT_ROLE, true),
        role::<ForgeRepository, ForgeCredential>(CREDENTIAL_ROLE, true),
        role::<OpenPullRequest, OpenedPullRequest>(PULL_REQUEST_ROLE, true),
        role::<ForgeBranch, FoundPullRequest>(FIND_PULL_REQUEST_ROLE, false),
        role::<ForgeRepository, Forked>(FORK_ROLE, false),
        role::<CommitOnBranch, MadeCommit>(COMMIT_ROLE, false),
        role::<PullRequestDetails, DetailsSet>(PULL_REQUEST_DETAILS_ROLE, false),
        role::<ForgeUser, ForgePermission>(PERMISSION_ROLE, false),
        role::<ForgeThread, PullRequestHead>(PULL_REQUEST_HEAD_ROLE, false),
        role::<ForgeComment, PostedComment>(COMMENT_ROLE, false),
        role::<ForgeCommit, FailedChecks>(FAILED_CHECKS_ROLE, false),
        role::<ForgeCheckRun, PostedCheckRun>(CHECK_RUN_ROLE, false),
    ]
}

fn role<A: JsonSchema, R: JsonSchema>(name: &'static str, is_required: bool) -> ForgeRole {
    ForgeRole {
        name,
        is_required,
        arguments: schema_for!(A).to_value(),
        result: schema_for!(R).to_value(),
    }
}
