//! What is sent, what is tried again, and what never leaves.

use std::time::{Duration, Instant};

use pullwright_github::{GithubConfig, GithubError, Secret, server};
use pullwright_tool_kit::protocol::forge::{ForgeCredential, Preflight};
use serde_json::json;

use crate::client::{Client, ORIGIN, TOKEN, config, repository};
use crate::fault_server::{FaultServer, Reply, Step, TOO_LONG, ok, status, with_headers};
use crate::preflight::demo;

const LOOK: &str = "GET /repos/octo/demo";

async fn look(script: Vec<Step>) -> (Result<Preflight, String>, usize) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline("preflight", &repository()).await;
    (answer, peer.finish().len())
}

#[tokio::test]
async fn each_request_names_us_and_the_version_and_carries_the_token_once() {
    let peer = FaultServer::start([(LOOK, ok(demo()))]).await;
    let client = Client::start(config(&peer.url)).await;
    let _: Preflight = client.pipeline("preflight", &repository()).await.unwrap();
    let seen = &peer.finish()[0];
    assert!(
        seen.header("user-agent")
            .unwrap()
            .starts_with("pullwright/"),
        "{seen:?}"
    );
    assert_eq!(seen.header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(seen.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(
        seen.header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
    let named = seen
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    assert_eq!(named.count(), 1);
}

#[tokio::test]
async fn a_read_is_tried_again_after_a_passing_failure() {
    let limited = [("retry-after", "0")];
    let failures = [
        status(502, json!({"message": "Server Error"})),
        status(503, json!({})),
        with_headers(429, &limited, json!({"message": "slow down"})),
        with_headers(
            403,
            &limited,
            json!({"message": "You have exceeded a secondary rate limit"}),
        ),
        Reply::HangUp,
        Reply::Truncated,
    ];
    for failure in failures {
        let (answer, asked) = look(vec![(LOOK, failure), (LOOK, ok(demo()))]).await;
        assert!(answer.unwrap().can_push);
        assert_eq!(asked, 2);
    }
}

#[tokio::test]
async fn a_read_is_given_up_after_three_attempts() {
    let bad = || (LOOK, status(502, json!({"message": "Server Error"})));
    let (answer, _) = look(vec![bad(), bad(), bad()]).await;
    let message = answer.unwrap_err();
    assert!(message.contains("HTTP 502: Server Error"), "{message}");
    assert!(message.contains("try again later"), "{message}");
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let limited = with_headers(429, &[("retry-after", "1")], json!({}));
    let before = Instant::now();
    let (answer, _) = look(vec![(LOOK, limited), (LOOK, ok(demo()))]).await;
    answer.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_an_error_at_once() {
    let used_up = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "99999999999"),
    ];
    let table = [
        (
            with_headers(429, &[("retry-after", "3600")], json!({})),
            "wait 3600 s",
        ),
        (
            with_headers(403, &used_up, json!({"message": "API rate limit"})),
            "hourly budget",
        ),
        (
            status(403, json!({"message": "secondary rate limit"})),
            "wait 60 s",
        ),
    ];
    for (reply, expected) in table {
        let (answer, asked) = look(vec![(LOOK, reply)]).await;
        let message = answer.unwrap_err();
        assert!(
            message.contains(expected) && message.contains("MY_TOKEN"),
            "{message}"
        );
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn a_silent_peer_costs_no_more_than_the_time_limit() {
    let silent = || (LOOK, Reply::Silent);
    let peer = FaultServer::start([silent(), silent(), silent()]).await;
    let mut config = config(&peer.url);
    config.limits.request_timeout = Duration::from_millis(50);
    let client = Client::start(config).await;
    let repository = repository();
    let answer = client.pipeline::<Preflight>("preflight", &repository);
    let message = tokio::time::timeout(TOO_LONG, answer)
        .await
        .unwrap()
        .unwrap_err();
    assert!(message.contains("did not answer"), "{message}");
    peer.finish();
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let client = Client::start(config(&format!("http://{address}"))).await;
    let message = client
        .pipeline::<Preflight>("preflight", &repository())
        .await
        .unwrap_err();
    assert!(
        message.contains(&format!("{address} cannot be reached")),
        "{message}"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_github_s_is_an_error() {
    for nonsense in ["", "<html>", "[]", "{\"full_name\": 3}"] {
        let reply = Reply::Answer(200, vec![], nonsense.to_owned());
        let again = || (LOOK, reply.clone());
        let (answer, _) = look(vec![again(), again(), again()]).await;
        let message = answer.unwrap_err();
        assert!(message.contains("cannot be understood"), "{message}");
    }
}

#[tokio::test]
async fn a_base_path_is_kept() {
    let peer = FaultServer::start([("GET /api/v3/repos/octo/demo", ok(demo()))]).await;
    let client = Client::start(config(&format!("{}/api/v3/", peer.url))).await;
    let _: Preflight = client.pipeline("preflight", &repository()).await.unwrap();
    peer.finish();
}

#[tokio::test]
async fn the_credential_is_for_our_origin_only() {
    let client = Client::start(config("http://127.0.0.1:9")).await;
    let credential: ForgeCredential = client.pipeline("credential", &repository()).await.unwrap();
    assert_eq!(credential.origin, ORIGIN);
    assert_eq!(credential.username, "x-access-token");
    assert_eq!(credential.password.as_deref(), Some(TOKEN));
    for origin in [
        "https://github.com.evil.example",
        "http://github.com",
        "https://github.com:8443",
    ] {
        let mut elsewhere = repository();
        elsewhere.origin = origin.to_owned();
        let refused = client
            .pipeline::<ForgeCredential>("credential", &elsewhere)
            .await;
        let message = refused.unwrap_err();
        assert!(
            message.contains(origin) && !message.contains(TOKEN),
            "{message}"
        );
    }
}

#[tokio::test]
async fn without_a_token_the_credential_is_anonymous() {
    let client = Client::start(GithubConfig {
        token: None,
        ..GithubConfig::default()
    })
    .await;
    let credential: ForgeCredential = client.pipeline("credential", &repository()).await.unwrap();
    assert_eq!(credential.password, None);
}

#[tokio::test]
async fn no_failure_shows_the_token() {
    let shown = format!("{:?}", config("http://127.0.0.1:9"));
    assert!(!shown.contains(TOKEN), "{shown}");
    for reply in [
        status(401, json!({"message": "Bad credentials"})),
        status(403, json!({})),
    ] {
        let (answer, _) = look(vec![(LOOK, reply)]).await;
        assert!(!answer.unwrap_err().contains(TOKEN));
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let with_token = |token: &str| GithubConfig {
        token: Some(Secret::new(token)),
        ..GithubConfig::default()
    };
    let origin = GithubConfig {
        origin: "github.com/owner".to_owned(),
        ..GithubConfig::default()
    };
    let clear = GithubConfig {
        api_url: "http://api.example.com".parse().unwrap(),
        ..GithubConfig::default()
    };
    assert!(matches!(
        server(with_token("")),
        Err(GithubError::Token { .. })
    ));
    assert!(matches!(
        server(with_token("two words")),
        Err(GithubError::Token { .. })
    ));
    assert!(matches!(server(origin), Err(GithubError::Origin(_))));
    assert!(matches!(server(clear), Err(GithubError::ApiUrl { .. })));
}

#[test]
fn without_a_runtime_it_is_refused() {
    assert!(matches!(
        server(GithubConfig::default()),
        Err(GithubError::NoRuntime)
    ));
}
