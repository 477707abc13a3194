//! What there is, page by page: runs, and for administrators the record of what was done.

use axum::extract::{RawQuery, State};
use axum::http::Uri;
use axum::response::Response;
use pullwright_core::store::{OutcomeFilter, RunFilter, RunPlace};

use super::answers::{AuditPage, RunPage};
use super::handlers::SEE;
use super::query::Query;
use super::{ApiProblem, ApiState, paging};
use crate::access::{Scope, Visitor, spellings};

/// How many runs a page has unless asked otherwise, and at most.
pub(super) const PAGE_RUNS: u64 = 20;
pub(super) const MAX_PAGE_RUNS: u64 = 100;

/// How many entries a page has unless asked otherwise, and at most.
pub(super) const PAGE_ENTRIES: u64 = 50;
pub(super) const MAX_PAGE_ENTRIES: u64 = 500;

/// A page of the visitor's runs, newest first.
pub(super) async fn runs(
    visitor: Visitor,
    State(state): State<ApiState>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let query = Query::parse(
        query.as_deref(),
        &["limit", "after", "outcome", "repository"],
    )?;
    let limit = query.limit(PAGE_RUNS, MAX_PAGE_RUNS)?;
    let after = query.get("after").map(paging::run_place).transpose()?;
    let filter = filter(&query, &visitor)?;
    let store = state.runs.store();
    let mut runs = store.page(&filter, after.as_ref(), limit + 1).await?;
    let cursor = |run: &_| paging::run_cursor(&RunPlace::from(run));
    let next = paging::cut(&mut runs, limit, cursor);
    let page = RunPage {
        runs,
        next: next.clone(),
    };
    Ok(paging::answer(page, &uri, "after", next.as_deref()))
}

/// A page of entries, newest first.
pub(super) async fn audit(
    visitor: Visitor,
    State(state): State<ApiState>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiProblem> {
    visitor.needs(&[Scope::Admin])?;
    let query = Query::parse(query.as_deref(), &["limit", "after"])?;
    let limit = query.limit(PAGE_ENTRIES, MAX_PAGE_ENTRIES)?;
    let after = query.get("after").map(paging::entry_number).transpose()?;
    let mut entries = match state.config.access.store() {
        Some(store) => store.recorded(after, limit + 1).await?,
        None => Vec::new(),
    };
    let cursor = |entry: &crate::access::Audited| paging::entry_cursor(entry.seq);
    let next = paging::cut(&mut entries, limit, cursor);
    let page = AuditPage {
        entries,
        next: next.clone(),
    };
    Ok(paging::answer(page, &uri, "after", next.as_deref()))
}

fn filter(query: &Query, visitor: &Visitor) -> Result<RunFilter, ApiProblem> {
    Ok(RunFilter {
        owner: visitor.owner().map(str::to_owned),
        outcome: query.get("outcome").map(outcome).transpose()?,
        repo_urls: query.get("repository").map(repo_urls).transpose()?,
    })
}

fn outcome(text: &str) -> Result<OutcomeFilter, ApiProblem> {
    text.parse().map_err(|_| {
        ApiProblem::bad_request(format!(
            "query parameter `outcome` is `{text}`; use `under way`, `failed`, or what a run's \
             `outcome` says, such as `pull request` or `failed(clone)`"
        ))
    })
}

fn repo_urls(text: &str) -> Result<Vec<String>, ApiProblem> {
    spellings(text).ok_or_else(|| {
        ApiProblem::bad_request(format!(
            "query parameter `repository` is `{text}`; use a run's `repoUrl`, or HOST/OWNER/NAME"
        ))
    })
}
