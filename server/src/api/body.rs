//! From a request's bytes to a [`RunRequest`], with errors that name the field.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use pullwright_protocol::{BudgetLimits, FailureKind, RunRequest};
use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::forge_token::misplaced;
use super::{ApiConfig, ApiProblem};

/// A name is taken for a misspelling of another that is at least this similar, from 0 to 1.
const SIMILAR: f64 = 0.7;

static REQUEST_FIELDS: LazyLock<Vec<String>> = LazyLock::new(fields_of::<RunRequest>);
static BUDGET_FIELDS: LazyLock<Vec<String>> = LazyLock::new(fields_of::<BudgetLimits>);

/// Reads and decodes the body of `POST /code`.
pub(super) async fn run_request(
    headers: &HeaderMap,
    body: Body,
    config: &ApiConfig,
) -> Result<RunRequest, ApiProblem> {
    check_content_type(headers)?;
    let bytes = read(body, config.max_body_bytes, config.body_timeout).await?;
    parse(&bytes)
}

/// What is said to a run's model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaidToRun {
    /// The text.
    pub(super) message: String,
}

/// Reads and decodes the body of `POST /v1/runs/{id}/messages`.
pub(super) async fn said_to_run(
    headers: &HeaderMap,
    body: Body,
    config: &ApiConfig,
) -> Result<SaidToRun, ApiProblem> {
    check_content_type(headers)?;
    let bytes = read(body, config.max_body_bytes, config.body_timeout).await?;
    if let Ok(Value::Object(fields)) = serde_json::from_slice(&bytes)
        && let Some(problem) = fields.keys().find_map(|name| misplaced(name))
    {
        return Err(problem);
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the body must be {{\"message\": \"…\"}}: {error}");
        ApiProblem::bad_request(message)
    })
}

/// The known name that is most like `name`, as the end of a sentence.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let scored = known.map(|k| {
        (
            strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase()),
            k,
        )
    });
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, known)) if score >= SIMILAR => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

/// Other types are what a web page can send to another site without asking.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), ApiProblem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let essence = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(ApiProblem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FailureKind::BadRequest,
        "the body must be JSON; send it with `Content-Type: application/json`",
    ))
}

pub(super) async fn read(
    body: Body,
    most: usize,
    timeout: Duration,
) -> Result<axum::body::Bytes, ApiProblem> {
    match tokio::time::timeout(timeout, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_over_limit(&error) => Err(ApiProblem::too_large(format!(
            "the body is larger than {most} bytes, which is all that is taken"
        ))),
        Ok(Err(_)) => Err(ApiProblem::bad_request("the body ended too early")),
        Err(_) => Err(ApiProblem::new(
            StatusCode::REQUEST_TIMEOUT,
            FailureKind::Limit,
            format!(
                "the body did not arrive within {} seconds",
                timeout.as_secs()
            ),
        )),
    }
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn parse(bytes: &[u8]) -> Result<RunRequest, ApiProblem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ApiProblem::bad_request(format!("the body is not JSON: {error}")))?;
    let Value::Object(fields) = &value else {
        let message = "the body must be a JSON object with `repoUrl` and `prompt`";
        return Err(ApiProblem::bad_request(message));
    };
    check_names("", fields, &REQUEST_FIELDS)?;
    if let Some(Value::Object(budget)) = fields.get("budget") {
        check_names("budget.", budget, &BUDGET_FIELDS)?;
        check_each::<BudgetLimits>("budget.", budget, &json!({}))?;
    }
    check_each::<RunRequest>("", fields, &json!({ "repoUrl": "", "prompt": "" }))?;
    serde_json::from_value(value).map_err(|error| ApiProblem::bad_request(error.to_string()))
}

fn check_names(
    prefix: &str,
    fields: &Map<String, Value>,
    known: &[String],
) -> Result<(), ApiProblem> {
    match fields.keys().find(|name| !known.contains(name)) {
        Some(name) if name == "follows" => {
            let message = "field `follows` is not for requests: say what is to be done to the run itself, by \
                           POST /v1/runs/{id}/messages, and a run that follows it is started";
            Err(ApiProblem::bad_request(message))
        }
        Some(name) if name == "origin" => {
            let message = "field `origin` is not for requests: a webhook of the code host says where a run comes \
                           from";
            Err(ApiProblem::bad_request(message))
        }
        Some(name) => {
            if let Some(problem) = misplaced(name).filter(|_| prefix.is_empty()) {
                return Err(problem);
            }
            let hint = nearest(name, known.iter().map(String::as_str));
            let message = format!("unknown field `{prefix}{name}`{hint}");
            Err(ApiProblem::bad_request(message))
        }
        None => Ok(()),
    }
}

/// Decodes each field alone, in an otherwise sound object, so that the error can name it.
fn check_each<T: DeserializeOwned>(
    prefix: &str,
    fields: &Map<String, Value>,
    sound: &Value,
) -> Result<(), ApiProblem> {
    for (name, value) in fields {
        let mut probe = sound.clone();
        probe[name] = value.clone();
        if let Err(error) = serde_json::from_value::<T>(probe) {
            let message = format!("field `{prefix}{name}`: {error}");
            return Err(ApiProblem::bad_request(message));
        }
    }
    Ok(())
}

fn fields_of<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|p| p.keys().cloned().collect())
        .unwrap_or_default()
}
