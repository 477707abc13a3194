//! What each route does.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::RunRecord;
use pullwright_protocol::{FailureKind, RunId};
use serde_json::json;

use super::follow::{Following, View, follow};
use super::query::{Query, idempotency_key, last_event_id};
use super::{ApiProblem, ApiState, body};
use crate::access::{Action, Scope, Visitor};
use crate::metrics;
use crate::runs::Started;

/// How many runs a list has unless asked otherwise, and at most.
const LISTED_RUNS: u64 = 20;
const MAX_LISTED_RUNS: u64 = 100;

/// Who sees a run: whoever it belongs to, and administrators.
const SEE: &[Scope] = &[Scope::Read, Scope::Admin];

pub(super) type RunPath = Result<Path<String>, PathRejection>;

/// Starts or joins a run and streams its frames.
pub(super) async fn code(
    visitor: Visitor,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiProblem> {
    let options = Query::parse(query.as_deref(), &["deltas"])?.frames()?;
    let after = last_event_id(&headers)?;
    let resumed_without_key = after.is_some() && !headers.contains_key("Idempotency-Key");
    if resumed_without_key {
        let message = "Last-Event-ID on POST needs the Idempotency-Key that started the run; \
                       without it this would start another run";
        return Err(ApiProblem::bad_request(message));
    }
    let started = start(&state, &visitor, &headers, body).await?;
    let has_ended = match started.joined {
        true => started_before(&state, &started.id).await?.outcome.is_some(),
        false => false,
    };
    let following = Following {
        run: started.id.clone(),
        after: after.unwrap_or(0),
        view: View::Frames(options),
        has_ended,
    };
    let mut response = sse(&state, &visitor, following);
    name_run(response.headers_mut(), &started.id);
    Ok(response)
}

/// Starts or joins a run without a stream.
pub(super) async fn create(
    visitor: Visitor,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiProblem> {
    Query::parse(query.as_deref(), &[])?;
    let started = start(&state, &visitor, &headers, body).await?;
    let answer = json!({ "id": started.id, "joined": started.joined });
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    name_run(response.headers_mut(), &started.id);
    Ok(response)
}

pub(super) async fn list(
    visitor: Visitor,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let query = Query::parse(query.as_deref(), &["limit"])?;
    let limit = query.limit(LISTED_RUNS, MAX_LISTED_RUNS)?;
    let store = state.runs.store();
    let runs = match visitor.owner() {
        Some(owner) => store.list_of(owner, limit).await?,
        None => store.list(limit).await?,
    };
    Ok(Json(json!({ "runs": runs })).into_response())
}

pub(super) async fn run(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
) -> Result<Json<RunRecord>, ApiProblem> {
    visitor.needs(SEE)?;
    record(&state, &visitor, path).await.map(Json)
}

pub(super) async fn events(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let query = Query::parse(query.as_deref(), &["from"])?;
    let run = kept(record(&state, &visitor, path).await?)?;
    resume(&state, &visitor, &run, &query, &headers, View::Events)
}

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
    resume(&state, &visitor, &run, &query, &headers, view)
}

pub(super) async fn patch(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
) -> Result<Response, ApiProblem> {
    visitor.needs(SEE)?;
    let RunRecord {
        id: run, request, ..
    } = kept(record(&state, &visitor, path).await?)?;
    let Some(patch) = state.runs.store().patch(&run).await? else {
        let message = format!("run `{run}` has no patch: it has changed nothing so far");
        let problem = ApiProblem::new(StatusCode::NOT_FOUND, FailureKind::BadRequest, message);
        return Err(problem);
    };
    let downloaded = visitor.did(Action::PatchDownloaded).to(&run.0);
    let access = &state.config.access;
    access.record(downloaded.on(&request.repo_url)).await;
    let mut response = Body::from(patch).into_response();
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, "text/x-diff");
    let name = format!("attachment; filename=\"{run}.patch\"");
    set(headers, header::CONTENT_DISPOSITION, &name);
    Ok(response)
}

pub(super) async fn cancel(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
) -> Result<Response, ApiProblem> {
    visitor.needs(&[Scope::Run, Scope::Admin])?;
    let RunRecord {
        id: run, request, ..
    } = record(&state, &visitor, path).await?;
    if state.runs.cancel(&run).await? {
        let cancelled = visitor.did(Action::RunCancelled).to(&run.0);
        let access = &state.config.access;
        access.record(cancelled.on(&request.repo_url)).await;
        let answer = json!({ "id": run, "cancelRequested": true });
        return Ok((StatusCode::ACCEPTED, Json(answer)).into_response());
    }
    let message = format!("run `{run}` has ended already; there is nothing to cancel");
    Err(ApiProblem::new(
        StatusCode::CONFLICT,
        FailureKind::BadRequest,
        message,
    ))
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

pub(super) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Ready means that the store answers and new runs are taken.
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<Response, ApiProblem> {
    if state.runs.is_closing() {
        return Err(ApiProblem::stopping());
    }
    state.runs.store().list(1).await?;
    Ok(Json(json!({ "status": "ready" })).into_response())
}

async fn start(
    state: &ApiState,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<Started, ApiProblem> {
    visitor.needs(&[Scope::Run])?;
    let key = idempotency_key(headers)?;
    let mut request = body::run_request(headers, body, &state.config).await?;
    visitor.narrow(&mut request)?;
    let started_one = visitor.did(Action::RunStarted).on(&request.repo_url);
    let started = state.runs.start(request, key, visitor.caller()).await?;
    state.config.traces.link(&started.id, headers);
    if !started.joined {
        let access = &state.config.access;
        access.record(started_one.to(&started.id.0)).await;
    }
    Ok(started)
}

/// Streams a run from where the client is.
fn resume(
    state: &ApiState,
    visitor: &Visitor,
    run: &RunRecord,
    query: &Query,
    headers: &HeaderMap,
    view: View,
) -> Result<Response, ApiProblem> {
    let from = query.number("from")?.map(|from| from.saturating_sub(1));
    // A client that reconnects repeats its query, so the header says more.
    let after = last_event_id(headers)?.or(from).unwrap_or(0);
    if after > run.last_seq {
        let last = run.last_seq;
        let message = format!("event {after} has not happened yet; the last one is {last}");
        return Err(ApiProblem::bad_request(message));
    }
    if run.outcome.is_some() && after == run.last_seq {
        // Tells an event source to stop coming back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let following = Following {
        has_ended: run.outcome.is_some(),
        run: run.id.clone(),
        after,
        view,
    };
    Ok(sse(state, visitor, following))
}

/// A run that was started or joined by its key.
async fn started_before(state: &ApiState, run: &RunId) -> Result<RunRecord, ApiProblem> {
    let record = state.runs.store().get(run).await?;
    kept(record.ok_or_else(|| ApiProblem::unknown_run(run))?)
}

/// The run, if its events are there.
fn kept(record: RunRecord) -> Result<RunRecord, ApiProblem> {
    match record.retired {
        Some(how) => Err(ApiProblem::retired(&record.id, how)),
        None => Ok(record),
    }
}

/// The run, if it is the visitor's to see. That of another is answered like one that there is not.
pub(super) async fn record(
    state: &ApiState,
    visitor: &Visitor,
    path: RunPath,
) -> Result<RunRecord, ApiProblem> {
    let run = id(path)?;
    let record = state.runs.store().get(&run).await?;
    let seen = record.filter(|record| visitor.sees(record));
    seen.ok_or_else(|| ApiProblem::unknown_run(&run))
}

fn id(path: RunPath) -> Result<RunId, ApiProblem> {
    match path {
        Ok(Path(id)) => Ok(RunId(id)),
        Err(error) => Err(ApiProblem::bad_request(format!(
            "bad path: {}",
            error.body_text()
        ))),
    }
}

fn sse(state: &ApiState, visitor: &Visitor, following: Following) -> Response {
    let body = follow(state, visitor, following);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    set(headers, header::CONTENT_TYPE, "text/event-stream");
    set(headers, header::CACHE_CONTROL, "no-cache");
    set(headers, HeaderName::from_static("x-accel-buffering"), "no");
    response
}

fn name_run(headers: &mut HeaderMap, run: &RunId) {
    set(headers, HeaderName::from_static("x-run-id"), &run.0);
    set(headers, header::LOCATION, &format!("/v1/runs/{run}"));
}

/// Run ids are our own and printable; one that is not has no header.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
