//! How the server itself is, and what it is.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::answers::{Health, Version};
use super::{ApiProblem, ApiState};
use crate::access::{Scope, Visitor};
use crate::metrics;

/// The commit that a build says it was made from.
const COMMIT: Option<&str> = option_env!("PULLWRIGHT_COMMIT");

pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Ready means that the store answers and new runs are taken.
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<Json<Health>, ApiProblem> {
    if state.runs.is_closing() {
        return Err(ApiProblem::stopping());
    }
    state.runs.store().list(1).await?;
    Ok(Json(Health { status: "ready" }))
}

pub(super) async fn version() -> Json<Version> {
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT,
    })
}

pub(super) async fn metrics(
    visitor: Visitor,
    State(state): State<ApiState>,
) -> Result<Response, ApiProblem> {
    visitor.needs(&[Scope::Admin])?;
    let text = state.config.metrics.text().map_err(|_| {
        ApiProblem::unavailable("the counts cannot be written; a label of one is not sound")
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
