//! The record of what was done, for administrators.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::query::Query;
use super::{ApiProblem, ApiState};
use crate::access::{Scope, Visitor};

/// How many entries a page has unless asked otherwise, and at most.
const PAGE_ENTRIES: u64 = 50;
const MAX_PAGE_ENTRIES: u64 = 500;

/// A page of entries, newest first; `next` is what `before` has to be for the one after it.
pub(super) async fn audit(
    visitor: Visitor,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiProblem> {
    visitor.needs(&[Scope::Admin])?;
    let query = Query::parse(query.as_deref(), &["limit", "before"])?;
    let limit = query.limit(PAGE_ENTRIES, MAX_PAGE_ENTRIES)?;
    let before = query.number("before")?;
    let entries = match state.config.access.store() {
        Some(store) => store.recorded(before, limit).await?,
        None => Vec::new(),
    };
    let next = entries.last().filter(|_| entries.len() == limit);
    let next = next.map(|last| last.seq);
    Ok(Json(json!({ "entries": entries, "next": next })).into_response())
}
