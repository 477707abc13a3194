//! GitHub as a forge: read-only tools for the model, publishing tools for the pipeline.
//!
//! The pipeline's tools carry a role and are never offered to a model: `preflight`, `credential`,
//! `fork`, `commit`, `pull_request`, `pull_request_details` and `find_pull_request`, and for who talks with people,
//! `permission`, `pull_request_head`, `failed_checks`, `comment` and `check_run`. The model's tools only read, and only the repository of the run, which the
//! framework attaches to each call: `issue`, `pull`, `comments` and `search`.
//!
//! Absent on purpose: any tool that writes on a model's word, a redirect that is followed, and a
//! `POST` that is repeated before its effect was looked up.

mod api;
mod checks;
mod comment;
mod commit;
mod config;
mod description;
mod details;
mod error;
mod fork;
mod github;
mod later;
mod missed;
mod model;
mod permission;
mod preflight;
mod pull_request;
mod pull_request_head;
mod repeated;
mod repository;
mod rules;
mod view;

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{
    CHECK_RUN_ROLE, COMMENT_ROLE, COMMIT_ROLE, CREDENTIAL_ROLE, FAILED_CHECKS_ROLE,
    FIND_PULL_REQUEST_ROLE, FORK_ROLE, PERMISSION_ROLE, PREFLIGHT_ROLE, PULL_REQUEST_DETAILS_ROLE,
    PULL_REQUEST_HEAD_ROLE, PULL_REQUEST_ROLE,
};
use pullwright_tool_kit::{ToolDef, ToolServer};

pub use api::Accounts;
pub use config::{AppConfig, GithubConfig, HttpLimits, Secret};
pub use error::GithubError;
pub use github::Github;
pub use missed::{Asked, MissedDeliveries, NotAsked};

/// The tool server of one GitHub host. Needs a Tokio runtime that outlives it.
///
/// # Errors
/// When the configuration cannot work: see [`GithubError`].
pub fn server(config: GithubConfig) -> Result<ToolServer<Github>, GithubError> {
    let github = Arc::new(Github::new(config)?);
    Ok(ToolServer::new("github", env!("CARGO_PKG_VERSION"), github)
        .tool(
            ToolDef::new("preflight").read_only().role(PREFLIGHT_ROLE),
            Github::preflight,
        )
        .tool(
            ToolDef::new("credential").read_only().role(CREDENTIAL_ROLE),
            Github::credential,
        )
        .tool(
            ToolDef::new("pull_request")
                .idempotent()
                .role(PULL_REQUEST_ROLE),
            Github::pull_request,
        )
        .tool(
            ToolDef::new("pull_request_details")
                .idempotent()
                .role(PULL_REQUEST_DETAILS_ROLE),
            Github::pull_request_details,
        )
        .tool(
            ToolDef::new("fork").idempotent().role(FORK_ROLE),
            Github::fork,
        )
        .tool(
            ToolDef::new("commit").idempotent().role(COMMIT_ROLE),
            Github::commit,
        )
        .tool(
            ToolDef::new("find_pull_request")
                .read_only()
                .role(FIND_PULL_REQUEST_ROLE),
            Github::find_pull_request,
        )
        .tool(
            ToolDef::new("permission").read_only().role(PERMISSION_ROLE),
            Github::permission,
        )
        .tool(
            ToolDef::new("pull_request_head")
                .read_only()
                .role(PULL_REQUEST_HEAD_ROLE),
            Github::pull_request_head,
        )
        .tool(
            ToolDef::new("failed_checks")
                .read_only()
                .role(FAILED_CHECKS_ROLE),
            Github::failed_checks,
        )
        .tool(
            ToolDef::new("comment").idempotent().role(COMMENT_ROLE),
            Github::comment,
        )
        .tool(
            ToolDef::new("check_run").idempotent().role(CHECK_RUN_ROLE),
            Github::check_run,
        )
        .tool(ToolDef::new("issue").read_only(), Github::issue)
        .tool(ToolDef::new("pull").read_only(), Github::pull)
        .tool(ToolDef::new("comments").read_only(), Github::comments)
        .tool(ToolDef::new("search").read_only(), Github::search))
}
