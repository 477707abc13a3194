//! `POST /v1/runs/{id}/messages`: what people say to a model at work, or of a change that is made.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use pullwright_core::caller_token::CallerToken;
use pullwright_core::store::{MAX_MESSAGES, RunRecord};
use pullwright_protocol::{FailureKind, RunId};

use super::answers::MessageAccepted;
use super::forge_token::forge_token;
use super::handlers::{RunPath, kept, name_run, record};
use super::query::{Query, idempotency_key};
use super::{ApiProblem, ApiState, body};
use crate::access::{Action, Scope, Visitor};
use crate::runs::{Said, StartError, Started};

/// How often somebody else may be faster in following a run, or in ending one: each time, what is said goes
/// to another run.
const MAX_RACES: usize = 8;

/// Something that is said.
struct Saying<'a> {
    state: &'a ApiState,
    visitor: &'a Visitor,
    headers: &'a HeaderMap,
    key: Option<String>,
    /// For a run that is started for it; one that is at work has its own.
    token: Option<CallerToken>,
    text: String,
}

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
    let token = forge_token(&headers, &visitor)?;
    let said = body::said_to_run(&headers, body, &state.config).await?;
    let saying = Saying {
        state: &state,
        visitor: &visitor,
        headers: &headers,
        key: idempotency_key(&headers)?,
        token,
        text: said.message,
    };
    let answer = saying.to(&run, &request.repo_url).await?;
    let taken_by = answer.id.clone();
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    name_run(response.headers_mut(), &taken_by);
    Ok(response)
}

impl Saying<'_> {
    async fn to(&self, run: &RunId, repository: &str) -> Result<MessageAccepted, ApiProblem> {
        let (runs, caller) = (&self.state.runs, self.visitor.caller());
        for _ in 0..MAX_RACES {
            let said = runs.say(run, &self.text, self.key.as_deref(), &caller);
            let ended = match said.await? {
                Said::Heard { run, number } => {
                    let told = self.visitor.did(Action::RunMessaged).to(&run.0);
                    let access = &self.state.config.access;
                    access.record(told.on(repository)).await;
                    return Ok(MessageAccepted::heard(run, number));
                }
                Said::Joined(run) => return self.joined(run).await,
                Said::Full(run) => return Err(full(&run)),
                Said::Ended(ended) => ended,
            };
            match self.follow(*ended).await {
                Err(StartError::FollowedBy(_)) => {}
                started => return Ok(started?),
            }
        }
        let message = format!("run `{run}` is followed by many at once; try again");
        Err(ApiProblem::unavailable(message).about(run).retry_after(1))
    }

    /// Starts a run that follows one that has ended.
    async fn follow(&self, ended: RunRecord) -> Result<MessageAccepted, StartError> {
        let visitor = self.visitor;
        visitor.needs(&[Scope::Run]).map_err(StartError::Refused)?;
        visitor.owns(&ended).map_err(StartError::Refused)?;
        let ended = kept(ended).map_err(StartError::Refused)?;
        let runs = &self.state.runs;
        let mut request = runs.following(&ended, self.text.clone());
        visitor.narrow(&mut request).map_err(StartError::Refused)?;
        let did = visitor.did(Action::RunStarted).on(&request.repo_url);
        let (key, token) = (self.key.clone(), self.token.clone());
        let Started { id, joined } = runs
            .start_with_token(request, key, visitor.caller(), token)
            .await?;
        self.state.config.traces.link(&id, self.headers);
        if !joined {
            self.state.config.access.record(did.to(&id.0)).await;
        }
        Ok(MessageAccepted::started(id, ended.id))
    }

    /// The run that an earlier request with the same key has started.
    async fn joined(&self, run: RunId) -> Result<MessageAccepted, ApiProblem> {
        let record = self.state.runs.store().get(&run).await?;
        let followed = record.and_then(|record| record.request.follows);
        let followed = followed.ok_or_else(|| ApiProblem::unknown_run(&run))?;
        Ok(MessageAccepted::started(run, followed))
    }
}

fn full(run: &RunId) -> ApiProblem {
    let message = format!(
        "run `{run}` has {MAX_MESSAGES} messages, which is all that one takes; wait until it has ended, or \
         cancel it, and say it then"
    );
    ApiProblem::new(StatusCode::CONFLICT, FailureKind::BadRequest, message).about(run)
}
