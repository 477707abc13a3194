//! Parameters, headers and problems that several operations have.

use std::collections::BTreeMap;

use pullwright_core::caller_token::MAX_TOKEN_BYTES;
use pullwright_core::store::OutcomeFilter;
use pullwright_protocol::Outcome;
use serde_json::{Map, Value, json};

use crate::api::forge_token::FORGE_TOKEN;
use crate::api::lists::{MAX_PAGE_ENTRIES, MAX_PAGE_RUNS, PAGE_ENTRIES, PAGE_RUNS};
use crate::api::query::{MAX_EVENT_DIGITS, MAX_KEY_BYTES};
use crate::api::streams::{MAX_PAGE_EVENTS, PAGE_EVENTS};
use crate::problem::PROBLEM_TYPE;

/// The problems by their status, and what they mean here.
const PROBLEMS: [(u16, &str); 12] = [
    (
        400,
        "The request is malformed, or a parameter or field is not good.",
    ),
    (
        401,
        "An API key is needed, or the one given is not good; or a delivery's signature is not.",
    ),
    (
        403,
        "The key lacks the right, or the request comes from a foreign page or by a foreign name.",
    ),
    (
        404,
        "There is no such run, or it belongs to another key, or it has none of what was asked for; or webhooks are not configured.",
    ),
    (408, "The body did not arrive in time."),
    (
        409,
        "The run has ended already, or has all the messages that one takes.",
    ),
    (
        410,
        "The run ended long ago, and its events and its patch have left the store.",
    ),
    (413, "The body or a field is too large."),
    (415, "The body is not JSON."),
    (
        422,
        "The `Idempotency-Key` came before with another body, or the request cannot be done as the server is configured.",
    ),
    (429, "Too many requests, or too many runs."),
    (503, "The run store fails, or the server is stopping."),
];

/// Statuses whose problems may, or do, say when to come back.
const WAITING: [u16; 2] = [429, 503];

/// By the names that [`super::operations`] knows them by.
pub(super) fn parameters() -> BTreeMap<&'static str, Value> {
    let number = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
    let text = json!({ "type": "string" });
    // A browser that has seen no event says so by an empty one.
    let number_or_none = json!({
        "type": "string",
        "pattern": format!("^[0-9]{{0,{MAX_EVENT_DIGITS}}}$"),
    });
    let cursor = json!({ "type": "string", "minLength": 1 });
    let key = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_BYTES,
        "pattern": r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
    });
    let token = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_TOKEN_BYTES,
        "pattern": r"^[\x21-\x7e]+$",
    });
    let id = json!({ "type": "string", "minLength": 1 });
    let deltas = json!({ "type": "string", "enum": ["0", "1", "false", "true"], "default": "0" });
    BTreeMap::from([
        ("id", parameter("path", "id", "The run.", &id)),
        (
            "deltas",
            query(
                "deltas",
                "Whether messages and output are shown while they grow.",
                &deltas,
            ),
        ),
        (
            "from",
            query("from", "The number of the first event wanted.", &number),
        ),
        (
            "after",
            query(
                "after",
                "The `next` of the page before, unchanged.",
                &cursor,
            ),
        ),
        (
            "outcome",
            query(
                "outcome",
                "Only runs that ended like this; `failed` stands for all failures.",
                &outcomes(),
            ),
        ),
        (
            "repository",
            query(
                "repository",
                "Only runs on this repository: its URL, or HOST/OWNER/NAME.",
                &text,
            ),
        ),
        ("runsLimit", limit(PAGE_RUNS, MAX_PAGE_RUNS)),
        ("auditLimit", limit(PAGE_ENTRIES, MAX_PAGE_ENTRIES)),
        ("eventsLimit", limit(PAGE_EVENTS, MAX_PAGE_EVENTS)),
        (
            "idempotencyKey",
            header(
                "Idempotency-Key",
                "Makes a retry join the run. It is the caller's own.",
                &key,
            ),
        ),
        (
            "forgeToken",
            header(
                FORGE_TOKEN,
                "The caller's own token for the code host: the run that is started works with it instead of the \
                 server's account. It is taken over HTTPS or from the server's own machine only, is in no log \
                 and no answer, and is gone when the run has ended.",
                &token,
            ),
        ),
        (
            "lastEventId",
            header(
                "Last-Event-ID",
                "The number of the last event seen; it counts more than `from`.",
                &number_or_none,
            ),
        ),
        (
            "githubEvent",
            needed_header("X-GitHub-Event", "What has happened.", &text),
        ),
        (
            "githubDelivery",
            needed_header(
                "X-GitHub-Delivery",
                "The delivery's id, the same each time it comes.",
                &text,
            ),
        ),
        (
            "githubSignature",
            needed_header(
                "X-Hub-Signature-256",
                "The body's HMAC-SHA-256 with the webhook's secret, as `sha256=` and hexadecimal digits.",
                &text,
            ),
        ),
        (
            "traceparent",
            header(
                "traceparent",
                "The trace that the run belongs to (W3C Trace Context).",
                &text,
            ),
        ),
    ])
}

/// By their own names.
pub(super) fn headers() -> BTreeMap<&'static str, Value> {
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let seconds = json!({ "type": "integer", "minimum": 0 });
    BTreeMap::from([
        ("X-Run-Id", text("The run.")),
        ("Location", text("Where the run is.")),
        (
            "Link",
            text("The next page, as `rel=\"next\"`; absent on the last one."),
        ),
        (
            "Content-Disposition",
            text("The name of a file to save it as."),
        ),
        ("Cache-Control", text("`no-cache` on a stream.")),
        (
            "X-Accel-Buffering",
            text("`no`: keeps a proxy from holding a stream back."),
        ),
        ("WWW-Authenticate", text("How to say who calls.")),
        (
            "Retry-After",
            json!({ "description": "After how many seconds to try again.", "schema": seconds }),
        ),
    ])
}

/// By their statuses.
pub(super) fn problems() -> BTreeMap<String, Value> {
    let problem = |(status, description): (u16, &str)| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let mut response = json!({
            "description": description,
            "content": { PROBLEM_TYPE: { "schema": schema } },
        });
        let named = match status {
            401 => Some("WWW-Authenticate"),
            status if WAITING.contains(&status) => Some("Retry-After"),
            _ => None,
        };
        if let Some(name) = named {
            let header = json!({ "$ref": format!("#/components/headers/{name}") });
            response["headers"] = Value::Object(Map::from_iter([(name.to_owned(), header)]));
        }
        (status.to_string(), response)
    };
    PROBLEMS.into_iter().map(problem).collect()
}

fn outcomes() -> Value {
    let groups = [OutcomeFilter::UnderWay, OutcomeFilter::Failed];
    let exact = Outcome::all().map(OutcomeFilter::Is);
    let words = groups.into_iter().chain(exact);
    let words: Vec<String> = words.map(|word| word.to_string()).collect();
    json!({ "type": "string", "enum": words })
}

fn limit(usual: u64, most: u64) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual });
    query("limit", "How many there are at most on a page.", &schema)
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    parameter("query", name, description, schema)
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    parameter("header", name, description, schema)
}

fn needed_header(name: &str, description: &str, schema: &Value) -> Value {
    let mut needed = header(name, description, schema);
    needed["required"] = json!(true);
    needed
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    json!({
        "in": place,
        "name": name,
        "required": place == "path",
        "description": description,
        "schema": schema,
    })
}
