//! Keys that a command prints, and headers of a row's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pullwright_protocol::provider::Delta;
use pullwright_protocol::{FailureKind, Item};
use pullwright_providers::{Access, KeyCommand, OpenAiConfig, ProviderSettings, open};
use serde_json::json;

use crate::client::{bounded, deltas, error, in_process, request};
use crate::http_server::{Answer, Ending, Server};
use crate::openai_stream::{chat, chunk, config, done, frames};

fn settings(server: &Server) -> ProviderSettings {
    ProviderSettings {
        name: "mine".into(),
        wire_api: "openai_chat".into(),
        base_url: Some(server.url.clone()),
        model: Some("m".into()),
        ..ProviderSettings::default()
    }
}

/// A command that prints another key each time, `key-1` first.
fn counting(folder: &Path) -> Vec<String> {
    let script = "echo x >> \"$0/count\"; echo key-$(wc -l < \"$0/count\" | tr -d ' ')";
    let folder = folder.display().to_string();
    ["sh", "-c", script, &folder].map(str::to_owned).to_vec()
}

fn good() -> Answer {
    Answer::stream(done(&[chunk(&json!({ "content": "a" }), Some("stop"))]))
}

fn refused() -> Answer {
    Answer::error(401, &json!({ "error": { "message": "expired" } }))
}

async fn ask(settings: ProviderSettings, times: usize) -> Vec<Option<(FailureKind, bool, String)>> {
    let provider = open(settings, |name| (name == "TEAM").then(|| "blue".to_owned())).unwrap();
    let peer = in_process(provider);
    let mut ends = Vec::new();
    for _ in 0..times {
        let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
        let failed = matches!(deltas.last(), Some(Delta::Error { .. }));
        ends.push(failed.then(|| {
            let error = error(&deltas);
            (error.kind, error.retryable, error.message.clone())
        }));
    }
    ends
}

fn sent(server: &Server, header: &str) -> Vec<String> {
    let requests = server.requests();
    let value = |headers: &axum::http::HeaderMap| {
        let value = headers.get(header).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    requests
        .iter()
        .map(|request| value(&request.headers))
        .collect()
}

#[tokio::test]
async fn a_key_serves_until_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![good(), good(), good(), good()]).await;
    let row = ProviderSettings {
        key_command: counting(folder.path()),
        ..settings(&server)
    };
    assert_eq!(ask(row.clone(), 2).await, [None, None]);
    let fresh_each_time = ProviderSettings {
        key_refresh: Some(Duration::ZERO),
        ..row
    };
    assert_eq!(ask(fresh_each_time, 2).await, [None, None]);
    let keys = sent(&server, "authorization");
    assert_eq!(
        keys,
        [
            "Bearer key-1",
            "Bearer key-1",
            "Bearer key-2",
            "Bearer key-3"
        ]
    );
}

#[tokio::test]
async fn a_key_that_is_refused_is_fetched_anew_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(vec![good(), refused(), good(), refused(), refused()]).await;
    let row = ProviderSettings {
        key_command: counting(folder.path()),
        ..settings(&server)
    };
    let ends = ask(row, 5).await;
    let seen: Vec<Option<(FailureKind, bool)>> = ends
        .iter()
        .map(|end| end.as_ref().map(|(kind, retryable, _)| (*kind, *retryable)))
        .collect();
    let auth = |retryable| Some((FailureKind::ProviderAuth, retryable));
    // The third refusal is of a key that was just fetched: another would not help.
    assert_eq!(seen, [None, auth(true), None, auth(true), auth(false)]);
    let keys = sent(&server, "authorization");
    assert_eq!(
        keys,
        [
            "Bearer key-1",
            "Bearer key-1",
            "Bearer key-2",
            "Bearer key-2",
            "Bearer key-3"
        ]
    );
}

/// Runs share a row: each that was refused the old key gets the new one, whoever fetched it.
#[tokio::test]
async fn a_key_that_is_refused_to_several_at_once_is_replaced_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let refusals = (0..4).map(|_| refused());
    let answers = std::iter::once(good()).chain(refusals).chain([good()]);
    let server = Server::start(answers.collect()).await;
    let row = ProviderSettings {
        key_command: counting(folder.path()),
        ..settings(&server)
    };
    let provider = open(row, |_| None).unwrap();
    let ask = || async {
        let peer = in_process(std::sync::Arc::clone(&provider));
        let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
        match deltas.last() {
            Some(Delta::Error { error }) => Some(error.clone()),
            _ => None,
        }
    };
    assert!(ask().await.is_none());
    let all = futures_util::future::join_all([ask(), ask(), ask(), ask()]).await;
    for error in all {
        let error = error.expect("a refusal");
        assert!(error.retryable, "{}", error.message);
        assert!(!error.message.contains("key-1"), "{}", error.message);
    }
    assert!(ask().await.is_none());
}

#[tokio::test]
async fn a_command_that_gives_no_key_says_why() {
    let cases: [(&[&str], &str); 4] = [
        (&["/no/such/program"], "cannot be run"),
        (
            &["sh", "-c", "echo not logged in >&2; exit 3"],
            "not logged in",
        ),
        (&["true"], "printed no key"),
        (&["printf", "a\\001b"], "cannot be a key"),
    ];
    for (command, expected) in cases {
        let server = Server::start(vec![]).await;
        let row = ProviderSettings {
            key_command: command.iter().map(|part| (*part).to_owned()).collect(),
            ..settings(&server)
        };
        let ends = ask(row, 1).await;
        let (kind, retryable, message) = ends[0].clone().unwrap();
        assert_eq!((kind, retryable), (FailureKind::ProviderAuth, false));
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn headers_of_the_row_are_sent() {
    let server = Server::start(vec![good()]).await;
    let row = ProviderSettings {
        env_headers: BTreeMap::from([("x-team".to_owned(), "TEAM".to_owned())]),
        ..settings(&server)
    };
    assert_eq!(ask(row, 1).await, [None]);
    let requests = server.requests();
    assert_eq!(requests[0].headers["x-team"], "blue");
    assert_eq!(requests[0].headers.get("authorization"), None);
}

#[test]
fn a_header_without_its_variable_is_named() {
    let row = ProviderSettings {
        name: "mine".into(),
        wire_api: "openai_chat".into(),
        model: Some("m".into()),
        env_headers: BTreeMap::from([("x-team".to_owned(), "NOT_SET".to_owned())]),
        base_url: Some("https://models.example".parse().unwrap()),
        ..ProviderSettings::default()
    };
    let error = open(row, |_| None).err().unwrap().to_string();
    assert!(error.contains("NOT_SET is not set"), "{error}");
}

#[tokio::test]
async fn a_key_that_the_service_repeats_is_hidden() {
    let said = json!({ "error": { "message": "no such key: key-one-two, team blue-and-green" } });
    let in_stream = || Answer::stream(frames(std::slice::from_ref(&said)));
    let answers = vec![Answer::error(401, &said), in_stream(), in_stream()];
    let server = Server::start(answers).await;
    let environment = |name: &str| match name {
        "KEY" => Some("key-one-two".to_owned()),
        _ => Some("blue-and-green".to_owned()),
    };
    let fixed = ProviderSettings {
        env_key: Some("KEY".into()),
        env_headers: BTreeMap::from([("x-team".to_owned(), "TEAM".to_owned())]),
        ..settings(&server)
    };
    let printed = ProviderSettings {
        key_command: ["echo", "key-one-two"].map(str::to_owned).to_vec(),
        env_key: None,
        ..fixed.clone()
    };
    for (row, times) in [(fixed, 2), (printed, 1)] {
        let peer = in_process(open(row, environment).unwrap());
        for _ in 0..times {
            let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
            let message = &error(&deltas).message;
            assert!(
                message.contains("no such key: [hidden], team [hidden]"),
                "{message}"
            );
        }
    }
}

/// Wherever an error is cut off: half of a key would be half a secret.
#[tokio::test]
async fn a_key_that_a_long_answer_repeats_is_hidden_at_every_place() {
    const KEY: &str = "sk-abcdefghijklmnopqrstuvwxyz-0123456789";
    const PAGE_BYTES: usize = 64 * 1024;
    let around = |end: usize| (end - 60..end + 4).step_by(3);
    let places: Vec<usize> = around(2000).chain(around(PAGE_BYTES)).collect();
    let page = |place: usize| {
        let padding = "x".repeat(place);
        let after = "y".repeat(PAGE_BYTES);
        format!("{padding}{KEY}{after}")
    };
    let answers = places.iter().flat_map(|place| {
        let said = json!({ "error": { "message": page(*place) } });
        let raw = Answer {
            pieces: vec![page(*place).into_bytes()],
            ..Answer::error(502, &json!({}))
        };
        let in_stream = Answer::stream(frames(std::slice::from_ref(&said)));
        // It breaks off in the middle of the key.
        let broken = || format!("{}{}", "x".repeat(place % 100), &KEY[..place % KEY.len()]);
        let refused = Answer {
            pieces: vec![broken().into_bytes()],
            ending: Ending::Cut,
            ..Answer::error(502, &json!({}))
        };
        let success = Answer {
            pieces: vec![broken().into_bytes()],
            headers: vec![("content-type", "text/plain".to_owned())],
            ending: Ending::Cut,
            ..Answer::stream(vec![])
        };
        [raw, Answer::error(502, &said), in_stream, refused, success]
    });
    let server = Server::start(answers.collect()).await;
    let row = ProviderSettings {
        env_key: Some("KEY".into()),
        ..settings(&server)
    };
    let peer = in_process(open(row, |_| Some(KEY.to_owned())).unwrap());
    for place in places {
        for form in ["raw", "JSON", "stream", "broken", "broken success"] {
            let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
            let message = &error(&deltas).message;
            assert!(!message.contains("sk-"), "{form} at {place}: {message}");
            assert!(!message.contains("789"), "{form} at {place}: {message}");
            assert!(message.len() < 3000, "{form} at {place}");
        }
    }
}

#[tokio::test]
async fn what_to_do_is_said_after_however_long_an_answer() {
    let said = json!({ "error": { "message": "no ".repeat(10_000) } });
    let server = Server::start(vec![Answer::error(401, &said)]).await;
    let row = ProviderSettings {
        env_key: Some("KEY".into()),
        ..settings(&server)
    };
    let (_, _, message) = ask_with(row, |_| Some("sk-very-secret".to_owned())).await;
    assert!(message.contains("no no"), "{message}");
    assert!(message.ends_with("; check the key in KEY"), "{message}");
}

async fn ask_with(
    row: ProviderSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> (FailureKind, bool, String) {
    let peer = in_process(open(row, environment).unwrap());
    let deltas = deltas(&peer, &request(vec![Item::user("hi")])).await;
    let error = error(&deltas);
    (error.kind, error.retryable, error.message.clone())
}

#[tokio::test]
async fn a_command_that_prints_without_end_is_ended() {
    let server = Server::start(vec![]).await;
    let row = ProviderSettings {
        key_command: ["yes", "key"].map(str::to_owned).to_vec(),
        ..settings(&server)
    };
    let (kind, retryable, message) = bounded(ask_with(row, |_| None)).await;
    assert_eq!((kind, retryable), (FailureKind::ProviderAuth, false));
    assert!(
        message.contains("printed more than 65536 bytes"),
        "{message}"
    );
}

#[tokio::test]
async fn what_a_command_complains_about_is_shown_in_bounds() {
    let script =
        "printf 'log in:\\n\\033[2J\\tagain \\n' >&2; yes please | head -c 1000000 >&2; exit 3";
    let server = Server::start(vec![]).await;
    let row = ProviderSettings {
        key_command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..settings(&server)
    };
    let (_, _, message) = bounded(ask_with(row, |_| None)).await;
    let expected = "failed (exit status: 3): log in: [2J again please please";
    assert!(message.contains(expected), "{message:?}");
    assert!(message.len() < 700, "{message}");
}

/// A shell that traces itself says what it prints.
#[tokio::test]
async fn a_key_that_a_command_complains_about_is_hidden() {
    let script = "echo sk-very-secret; set -x; echo sk-very-secret; exit 3";
    let server = Server::start(vec![]).await;
    let row = ProviderSettings {
        key_command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..settings(&server)
    };
    let (_, _, message) = bounded(ask_with(row, |_| None)).await;
    assert!(message.contains("+ echo [hidden]"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > \"$0/starting\"; mv \"$0/starting\" \"$0/child\"; echo password: >&2; wait";
    let path = folder.path().display().to_string();
    let arguments = ["-c", script, &path].map(str::to_owned).to_vec();
    let command = KeyCommand::new("sh".to_owned(), arguments, Duration::from_secs(300));
    let asked = Access::with_command(command.within(Duration::from_secs(5)));
    let server = Server::start(vec![]).await;
    let config = OpenAiConfig {
        access: asked,
        ..config(server.url.clone())
    };
    let peer = in_process(std::sync::Arc::new(chat(config)));
    let deltas = bounded(deltas(&peer, &request(vec![Item::user("hi")]))).await;
    let message = &error(&deltas).message;
    assert!(
        message.contains("did not end within 5s: password:"),
        "{message}"
    );
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
    bounded(async {
        while is_alive(child.trim()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Whoever is killed may stay known until somebody waits for it.
fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}
