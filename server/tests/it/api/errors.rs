//! Bad input of every kind: a status, a problem that says why, and nothing changed.

use serde_json::{Value, json};

use super::server::{Server, Setup, body, run_id, send};
use crate::support::in_time;

/// Body of `POST /code`, status, kind, part of the message.
fn bad_bodies() -> Vec<(String, u16, &'static str, &'static str)> {
    let with = |field: &str, value: Value| {
        let mut body = body("hello");
        body[field] = value;
        body.to_string()
    };
    let bad = |body: String, message| (body, 400, "bad_request", message);
    vec![
        bad(String::new(), "not JSON"),
        bad("{".to_owned(), "not JSON"),
        bad("[]".to_owned(), "must be a JSON object"),
        bad("{}".to_owned(), "missing field `repoUrl`"),
        bad(
            json!({ "repoUrl": "https://github.com/o/r" }).to_string(),
            "missing field `prompt`",
        ),
        bad(
            with("repo_url", json!("x")),
            "unknown field `repo_url`; did you mean `repoUrl`?",
        ),
        bad(with("zzz", json!(1)), "unknown field `zzz`"),
        bad(with("prompt", json!(5)), "field `prompt`: invalid type"),
        bad(with("draft", json!("yes")), "field `draft`: invalid type"),
        bad(with("prompt", json!(" \n")), "field `prompt` is empty"),
        bad(with("prompt", json!("a\0b")), "NUL"),
        bad(with("repoUrl", json!("")), "field `repoUrl` is empty"),
        bad(
            with("repoUrl", json!("https://evil.example/x")),
            "this host is not listed",
        ),
        bad(with("model", json!("")), "field `model` is empty"),
        bad(with("budget", json!(3)), "field `budget`"),
        bad(
            with("budget", json!({ "maxusd": 1 })),
            "`budget.maxusd`; did you mean `maxUsd`?",
        ),
        bad(
            with("budget", json!({ "maxTurns": -1 })),
            "field `budget.maxTurns`: invalid value",
        ),
        bad(
            with("budget", json!({ "maxUsd": 0 })),
            "`budget.maxUsd` must be a number above zero",
        ),
        bad(
            with("budget", json!({ "maxMinutes": -2.5 })),
            "`budget.maxMinutes` must be",
        ),
        bad(
            with("checks", json!(["ok", ""])),
            "field `checks[1]` is empty",
        ),
        bad(
            with("checks", json!("make")),
            "field `checks`: invalid type",
        ),
        (
            with("checks", json!(vec!["x"; 33])),
            413,
            "limit",
            "33 commands",
        ),
        (
            with("checks", json!(["x".repeat(9000)])),
            413,
            "limit",
            "field `checks[0]`",
        ),
        (
            with("prompt", json!("x".repeat(100_001))),
            413,
            "limit",
            "100001 characters",
        ),
        (
            with("prompt", json!("x".repeat(2 << 20))),
            413,
            "limit",
            "larger than 1048576 bytes",
        ),
    ]
}

#[tokio::test]
async fn bad_bodies_are_refused_and_make_no_run() {
    let server = Server::start().await;
    for (body, status, kind, message) in bad_bodies() {
        let shown: String = body.chars().take(120).collect();
        let request = server.client.post(server.url("/code")).body(body);
        let response = send(request.header("Content-Type", "application/json")).await;
        assert_eq!(response.status(), status, "{shown}");
        let problem = problem_of(response).await;
        assert_eq!(problem["kind"], kind, "{shown}: {problem}");
        let said = problem["message"].as_str().expect("a message");
        assert!(said.contains(message), "{shown}: {said}");
    }
    assert!(server.store.list(10).await.expect("list").is_empty());
}

#[tokio::test]
async fn bad_requests_are_refused_in_one_shape() {
    let server = Server::start().await;
    let run = run_id(&send(server.code("hello")).await);
    let code = || server.code("hello");
    let get = |path: &str| server.get(&path.replace("{run}", &run.0));
    let table = [
        (server.client.post(server.url("/code")).body("{}"), 415),
        (
            server
                .client
                .post(server.url("/code"))
                .header("Content-Type", "text/plain"),
            415,
        ),
        (server.post("/code?delta=1", &body("hello")), 400),
        (server.post("/code?deltas=2", &body("hello")), 400),
        (server.post("/code?deltas=1&deltas=1", &body("hello")), 400),
        (code().header("Last-Event-ID", "3"), 400),
        (
            code()
                .header("Last-Event-ID", "x")
                .header("Idempotency-Key", "k"),
            400,
        ),
        (code().header("Idempotency-Key", ""), 400),
        (code().header("Idempotency-Key", "k".repeat(256)), 400),
        (code().header("Idempotency-Key", "k\tl"), 400),
        (code().header("Idempotency-Key", "k\u{fc}"), 400),
        (get("/code"), 405),
        (server.post("/v1/runs/{run}", &json!({})), 405),
        (get("/"), 404),
        (get("/v1/nothing"), 404),
        (get("/v1/runs/nobody"), 404),
        (get("/v1/runs/nobody/stream"), 404),
        (get("/v1/runs/nobody/events"), 404),
        (get("/v1/runs/nobody/patch"), 404),
        (get("/v1/runs/%ff"), 400),
        (server.post("/v1/runs/nobody/cancel", &json!({})), 404),
        (get("/v1/runs?limit=0"), 400),
        (get("/v1/runs?limit=many"), 400),
        (get("/v1/runs?page=1"), 400),
        (get("/v1/runs?after=x"), 400),
        (get("/v1/runs?outcome=fine"), 400),
        (get("/v1/runs?repository=x"), 400),
        (get("/v1/runs/a%00b"), 404),
        (get("/v1/runs/{run}/events?limit=0"), 400),
        (get("/v1/runs/{run}/events?from=-1"), 400),
        (get("/v1/runs/{run}/events?from=%2B1"), 400),
        (get("/v1/runs/{run}/events?deltas=1"), 400),
        (
            get("/v1/runs/{run}/stream").header("Last-Event-ID", "99"),
            400,
        ),
        (
            get("/v1/runs/{run}/stream").header("Last-Event-ID", "0".repeat(19)),
            400,
        ),
    ];
    for (request, status) in table {
        let shown = format!("{request:?}");
        let response = send(request).await;
        assert_eq!(response.status(), status, "{shown}");
        problem_of(response).await;
    }
    assert_eq!(server.store.list(10).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_run_without_changes_has_no_patch() {
    let server = Server::start().await;
    let run = run_id(&send(server.code("wait")).await);
    let response = send(server.get(&format!("/v1/runs/{run}/patch"))).await;
    assert_eq!(response.status(), 404);
    let problem = problem_of(response).await;
    let message = problem["message"].to_string();
    assert!(message.contains("has no patch"), "{message}");
    assert_eq!(problem["instance"], format!("/v1/runs/{run}"));
}

#[tokio::test]
async fn retries_that_come_at_once_do_not_take_each_other_s_places() {
    let server = Server::start_with(Setup::with_places(2)).await;
    let retries = (0..20).map(|_| send(server.code("wait").header("Idempotency-Key", "k")));
    let answers = in_time(futures_util::future::join_all(retries)).await;
    let runs: std::collections::BTreeSet<_> = answers.iter().map(run_id).collect();
    assert_eq!(runs.len(), 1, "every retry joins the one run");
    let other = send(server.code("wait")).await;
    assert_eq!(other.status(), 200, "the second place is free");
}

#[tokio::test]
async fn too_many_runs_are_refused_for_now() {
    let server = Server::start_with(Setup::with_places(1)).await;
    let first = send(server.code("wait").header("Idempotency-Key", "k")).await;
    let run = run_id(&first);
    let second = send(server.code("wait")).await;
    assert_eq!(second.status(), 429);
    assert!(
        second.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse::<u64>()
            .is_ok()
    );
    assert_eq!(json_of(second).await["kind"], "rate_limited");
    let joined = send(server.code("wait").header("Idempotency-Key", "k")).await;
    assert_eq!(run_id(&joined), run, "a retry needs no place");
    let mut departing = server.runs.departing(&run).expect("it runs");
    server.runs.cancel(&run).await.expect("cancel");
    in_time(departing.departed()).await;
    let freed = async {
        while send(server.code("wait")).await.status() == 429 {
            tokio::task::yield_now().await;
        }
    };
    in_time(freed).await;
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let server = Server::start().await;
    let port = server.address.port();
    let own = format!("127.0.0.1:{port}");
    let table = [
        (format!("Host: {own}\r\n"), 200),
        (format!("Host: localhost:{port}\r\n"), 200),
        ("Host: pullwright.example\r\n".to_owned(), 200),
        (format!("Host: {own}\r\nOrigin: http://{own}\r\n"), 200),
        (format!("Host: evil.example:{port}\r\n"), 403),
        ("Host: 10.0.0.1\r\n".to_owned(), 403),
        (
            format!("Host: {own}\r\nOrigin: http://evil.example\r\n"),
            403,
        ),
        (format!("Host: {own}\r\nOrigin: null\r\n"), 403),
        (
            format!("Host: {own}\r\nOrigin: http://127.0.0.1:1\r\n"),
            403,
        ),
        (format!("Host: {own}\r\nHost: evil.example\r\n"), 400),
        (String::new(), 400),
    ];
    for (headers, status) in table {
        let request = format!("GET /healthz HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let answer = server.raw(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers}: {answer}"
        );
        if status == 403 {
            assert!(
                answer.contains("application/problem+json")
                    && answer.contains("\"kind\":\"bad_request\""),
                "{answer}"
            );
        }
    }
}

/// The problem that a response is, once it is sure that it has the one shape of all (RFC 9457).
async fn problem_of(response: reqwest::Response) -> Value {
    let status = response.status();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem = json_of(response).await;
    assert_eq!(problem["type"], "about:blank", "{problem}");
    assert_eq!(problem["title"], status.canonical_reason().expect("words"));
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["detail"], problem["message"]);
    assert!(problem["kind"].is_string(), "{problem}");
    problem
}

async fn json_of(response: reqwest::Response) -> Value {
    let text = in_time(response.text()).await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
