//! A run's log from where a client is: as a stream, or page by page for those who poll.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::RunRecord;

use super::answers::EventPage;
use super::follow::{Following, View, follow};
use super::handlers::{RunPath, SEE, kept, record, set, still_kept};
use super::query::{Query, last_event_id};
use super::{ApiProblem, ApiState, paging};
use crate::access::Visitor;

/// How many events a page has unless asked otherwise, and at most.
pub(super) const PAGE_EVENTS: u64 = 100;
pub(super) const MAX_PAGE_EVENTS: u64 = 1000;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// The events themselves.
pub(super) async fn events(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let query = Query::parse(query.as_deref(), &["from", "limit"])?;
    let wants_page = wants_page(&query, &headers)?;
    let run = kept(record(&state, &visitor, path).await?)?;
    let after = place(&run, &query, &headers)?;
    match wants_page {
        true => page(&state, &run, after, &query, &uri).await,
        false => Ok(resume(&state, &visitor, &run, after, View::Events)),
    }
}

/// The frames of `POST /code`.
pub(super) async fn stream(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let query = Query::parse(query.as_deref(), &["from", "deltas"])?;
    let view = View::Frames(query.frames()?);
    let run = kept(record(&state, &visitor, path).await?)?;
    let after = place(&run, &query, &headers)?;
    Ok(resume(&state, &visitor, &run, after, view))
}

/// Streams a run's log.
pub(super) fn sse(state: &ApiState, visitor: &Visitor, following: Following) -> Response {
    let body = follow(state, visitor, following);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, SSE);
    set(headers, header::CACHE_CONTROL, "no-cache");
    set(headers, HeaderName::from_static("x-accel-buffering"), "no");
    response
}

fn resume(
    state: &ApiState,
    visitor: &Visitor,
    run: &RunRecord,
    after: u64,
    view: View,
) -> Response {
    if run.outcome.is_some() && after == run.last_seq {
        // Tells an event source to stop coming back.
        return StatusCode::NO_CONTENT.into_response();
    }
    let following = Following {
        has_ended: run.outcome.is_some(),
        run: run.id.clone(),
        after,
        view,
    };
    sse(state, visitor, following)
}

async fn page(
    state: &ApiState,
    run: &RunRecord,
    after: u64,
    query: &Query,
    uri: &Uri,
) -> Result<Response, ApiProblem> {
    let limit = query.limit(PAGE_EVENTS, MAX_PAGE_EVENTS)?;
    let events = state.runs.store().read(&run.id, after, limit).await?;
    if run.outcome.is_some() {
        // What is missing was retired meanwhile, and that is noted before the first event goes.
        still_kept(state, &run.id).await?;
    }
    let last = events.last().map_or(after, |event| event.seq);
    let is_over = run.outcome.is_some() && (events.is_empty() || last >= run.last_seq);
    let next = (!is_over).then_some(last + 1);
    let link = next.map(|next| next.to_string());
    let page = EventPage { events, next };
    Ok(paging::answer(page, uri, "from", link.as_deref()))
}

/// Whether a page is wanted, which is there at once, and no stream.
fn wants_page(query: &Query, headers: &HeaderMap) -> Result<bool, ApiProblem> {
    let has_limit = query.get("limit").is_some();
    match (accepts(headers, SSE), has_limit) {
        (true, true) => Err(ApiProblem::bad_request(
            "query parameter `limit` is for pages, which come as JSON; \
             leave it out, or ask with `Accept: application/json`",
        )),
        (true, false) => Ok(false),
        (false, has_limit) => Ok(has_limit || accepts(headers, JSON)),
    }
}

/// Whether the client names a media type.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let said = headers.get_all(header::ACCEPT).iter();
    let said = said.filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case(media_type))
}

/// The number of the last event that the client has.
fn place(run: &RunRecord, query: &Query, headers: &HeaderMap) -> Result<u64, ApiProblem> {
    let from = query.number("from")?.map(|from| from.saturating_sub(1));
    // A client that reconnects repeats its query, so the header says more.
    let after = last_event_id(headers)?.or(from).unwrap_or(0);
    if after > run.last_seq {
        let last = run.last_seq;
        let message = format!("event {after} has not happened yet; the last one is {last}");
        return Err(ApiProblem::bad_request(message).about(&run.id));
    }
    Ok(after)
}
