//! `POST /webhooks/github`: deliveries of GitHub's webhooks. Their signature is their key.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use pullwright_protocol::FailureKind;

use super::answers::{DeliveryStatus, DeliveryTaken};
use super::{ApiProblem, ApiState, body};
use crate::webhooks::{MAX_DELIVERY_BYTES, NotTaken, Signature, Taken};

const EVENT: &str = "X-GitHub-Event";
const DELIVERY: &str = "X-GitHub-Delivery";
const SIGNATURE: &str = "X-Hub-Signature-256";

/// GitHub's ids and names of events are shorter.
const MAX_HEADER_BYTES: usize = 128;

pub(super) async fn github(
    State(state): State<ApiState>,
    request: Request,
) -> Result<(StatusCode, Json<DeliveryTaken>), ApiProblem> {
    let Some(reception) = state.config.webhooks.github() else {
        return Err(not_configured());
    };
    let access = &state.config.access;
    let stranger = access.stranger(&request)?;
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let unsigned = |why: &str| stranger.refuse(access, unauthorized(why));
    let signature = match headers.get(SIGNATURE).map(|value| value.to_str()) {
        Some(Ok(text)) => Signature::parse(text).ok_or_else(|| unsigned("it is no signature"))?,
        Some(Err(_)) => return Err(unsigned("it is no signature")),
        None => return Err(unsigned("it is missing")),
    };
    let (event, id) = (named(headers, EVENT)?, named(headers, DELIVERY)?);
    body::check_content_type(headers)?;
    let place = reception.place_for_a_body();
    let place = tokio::time::timeout(state.config.body_timeout, place).await;
    let Ok(_place) = place else {
        return Err(ApiProblem::unavailable("too many deliveries arrive at once").retry_after(1));
    };
    let body = body::read(body, MAX_DELIVERY_BYTES, state.config.body_timeout).await;
    // One that drips would hold its place again and again: it counts like one that is not genuine.
    let body = body.map_err(|problem| stranger.refuse(access, problem))?;
    if !reception.is_genuine(&body, &signature) {
        return Err(unsigned("no configured secret has made it"));
    }
    let taken = reception.take(event, id, &body).await;
    let (status, reason) = match taken.map_err(problem)? {
        Taken::Accepted => (DeliveryStatus::Accepted, None),
        Taken::Known => (DeliveryStatus::Known, None),
        Taken::Ignored(why) => (DeliveryStatus::Ignored, Some(why)),
    };
    let id = id.to_owned();
    Ok((
        StatusCode::ACCEPTED,
        Json(DeliveryTaken { id, status, reason }),
    ))
}

fn named<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, ApiProblem> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_sound =
        |value: &&str| (1..=MAX_HEADER_BYTES).contains(&value.len()) && value.bytes().all(plain);
    value.filter(is_sound).ok_or_else(|| {
        let message = format!("the header {name} is missing or no name; GitHub's webhooks send it");
        ApiProblem::bad_request(message)
    })
}

fn problem(error: NotTaken) -> ApiProblem {
    match error {
        NotTaken::NotJson(error) => {
            ApiProblem::bad_request(format!("the body is not JSON: {error}"))
        }
        NotTaken::Store(error) => error.into(),
    }
}

fn unauthorized(why: &str) -> ApiProblem {
    let message = format!(
        "the delivery's signature in {SIGNATURE} is not good: {why}; the webhook's secret must be one of those \
         that `secret_env` in [webhooks.github] names"
    );
    ApiProblem::new(StatusCode::UNAUTHORIZED, FailureKind::BadRequest, message)
}

fn not_configured() -> ApiProblem {
    ApiProblem::new(
        StatusCode::NOT_FOUND,
        FailureKind::BadRequest,
        "webhooks of GitHub are not configured here: write [webhooks.github] with `secret_env` in plugins.toml, \
         and set the variable that it names where the server starts",
    )
}
