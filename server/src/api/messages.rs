//! `POST /v1/runs/{id}/messages`: what people say to a model at work.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::{MAX_MESSAGES, Posted, RunRecord};
use pullwright_protocol::FailureKind;

use super::answers::MessageAccepted;
use super::handlers::{RunPath, record};
use super::query::Query;
use super::{ApiProblem, ApiState, body};
use crate::access::{Action, Scope, Visitor};

pub(super) async fn say(
    visitor: Visitor,
    State(state): State<ApiState>,
    path: RunPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiProblem> {
    visitor.needs(&[Scope::Run, Scope::Admin])?;
    Query::parse(query.as_deref(), &[])?;
    let RunRecord {
        id: run, request, ..
    } = record(&state, &visitor, path).await?;
    let said = body::said_to_run(&headers, body, &state.config).await?;
    let refused = |message| ApiProblem::new(StatusCode::CONFLICT, FailureKind::BadRequest, message);
    match state.runs.say(&run, said.message).await? {
        Posted::Accepted(number) => {
            let told = visitor.did(Action::RunMessaged).to(&run.0);
            let access = &state.config.access;
            access.record(told.on(&request.repo_url)).await;
            let answer = Json(MessageAccepted { id: run, number });
            Ok((StatusCode::ACCEPTED, answer).into_response())
        }
        Posted::Ended => {
            let message = format!("run `{run}` has ended; start another one");
            Err(refused(message).about(&run))
        }
        Posted::Full => {
            let message = format!(
                "run `{run}` has {MAX_MESSAGES} messages, which is all that one takes; cancel it and \
                 start another one"
            );
            Err(refused(message).about(&run))
        }
    }
}
