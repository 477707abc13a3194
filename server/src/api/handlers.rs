//! What is done with runs.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::RunRecord;
use pullwright_protocol::{FailureKind, RunId};

use super::answers::{CancelAccepted, RunAccepted};
use super::follow::{Following, View};
use super::forge_token::forge_token;
use super::query::{Query, idempotency_key, last_event_id};
use super::streams::sse;
use super::{ApiProblem, ApiState, body};
use crate::access::{Action, Scope, Visitor};
use crate::runs::Started;

/// Who sees a run: whoever it belongs to, and administrators.
pub(super) const SEE: &[Scope] = &[Scope::Read, Scope::Admin];

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
        true => still_kept(&state, &started.id).await?.outcome.is_some(),
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
    let answer = Json(RunAccepted {
        id: started.id.clone(),
        joined: started.joined,
    });
    let mut response = (StatusCode::ACCEPTED, answer).into_response();
    name_run(response.headers_mut(), &started.id);
    Ok(response)
}

pub(super) async fn run(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
) -> Result<Json<RunRecord>, ApiProblem> {
    visitor.needs(SEE)?;
    record(&state, &visitor, path).await.map(Json)
}

pub(super) async fn patch(
    visitor: Visitor,
    method: Method,
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
        return Err(problem.about(&run));
    };
    let is_downloaded = method != Method::HEAD;
    if is_downloaded {
        let downloaded = visitor.did(Action::PatchDownloaded).to(&run.0);
        let access = &state.config.access;
        access.record(downloaded.on(&request.repo_url)).await;
    }
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
        let answer = Json(CancelAccepted {
            id: run,
            cancel_requested: true,
        });
        return Ok((StatusCode::ACCEPTED, answer).into_response());
    }
    let message = format!("run `{run}` has ended already; there is nothing to cancel");
    let problem = ApiProblem::new(StatusCode::CONFLICT, FailureKind::BadRequest, message);
    Err(problem.about(&run))
}

async fn start(
    state: &ApiState,
    visitor: &Visitor,
    headers: &HeaderMap,
    body: Body,
) -> Result<Started, ApiProblem> {
    visitor.needs(&[Scope::Run])?;
    let key = idempotency_key(headers)?;
    let token = forge_token(headers, visitor)?;
    let mut request = body::run_request(headers, body, &state.config).await?;
    visitor.narrow(&mut request)?;
    let started_one = visitor.did(Action::RunStarted).on(&request.repo_url);
    let started = state
        .runs
        .start_with_token(request, key, visitor.caller(), token)
        .await?;
    state.config.traces.link(&started.id, headers);
    if !started.joined {
        let access = &state.config.access;
        access.record(started_one.to(&started.id.0)).await;
    }
    Ok(started)
}

/// The run as it is now, if its events are there.
pub(super) async fn still_kept(state: &ApiState, run: &RunId) -> Result<RunRecord, ApiProblem> {
    let record = state.runs.store().get(run).await?;
    kept(record.ok_or_else(|| ApiProblem::unknown_run(run))?)
}

/// The run, if its events are there.
pub(super) fn kept(record: RunRecord) -> Result<RunRecord, ApiProblem> {
    match record.retired {
        Some(how) => Err(ApiProblem::retired(&record.id, how).about(&record.id)),
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
        // No store is asked for what cannot be a run's id, and not every one could be.
        Ok(Path(id)) if !id.chars().all(|c| c.is_ascii_graphic()) => {
            Err(ApiProblem::unknown_run(&RunId(id)))
        }
        Ok(Path(id)) => Ok(RunId(id)),
        Err(error) => Err(ApiProblem::bad_request(format!(
            "bad path: {}",
            error.body_text()
        ))),
    }
}

pub(super) fn name_run(headers: &mut HeaderMap, run: &RunId) {
    set(headers, HeaderName::from_static("x-run-id"), &run.0);
    set(headers, header::LOCATION, &format!("/v1/runs/{run}"));
}

/// Run ids are our own and printable; one that is not has no header.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
