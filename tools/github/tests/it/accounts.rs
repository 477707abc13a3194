//! What the tool servers of a process know together of the account that they ask as.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pullwright_github::{Accounts, GithubConfig, Secret};
use pullwright_tool_kit::protocol::forge::{
    ForgeLater, OpenPullRequest, OpenedPullRequest, Preflight,
};
use serde_json::{Value, json};

use crate::app::{double, keys};
use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, ok, status, with_headers};
use crate::preflight::demo;

const LOOK: &str = "GET /repos/octo/demo";

/// Two tool servers of one process.
async fn pair(config: GithubConfig) -> (Client, Client) {
    let accounts = Accounts::default();
    let shared = || GithubConfig {
        accounts: accounts.clone(),
        ..config.clone()
    };
    (Client::start(shared()).await, Client::start(shared()).await)
}

async fn look(client: &Client) -> Result<Preflight, String> {
    client.pipeline("preflight", &repository()).await
}

#[tokio::test]
async fn a_limit_that_one_has_met_holds_up_the_others_of_its_account_only() {
    let limited = with_headers(
        403,
        &[("retry-after", "600")],
        json!({"message": "You have exceeded a secondary rate limit"}),
    );
    let peer = FaultServer::start([(LOOK, limited), (LOOK, ok(demo()))]).await;
    let (one, two) = pair(config(&peer.url)).await;
    let other = GithubConfig {
        token: Some(Secret::new("ghp_another")),
        ..config(&peer.url)
    };
    let other = Client::start(other).await;
    let met = look(&one).await.unwrap_err();
    assert!(met.contains("wait 600 s"), "{met}");
    let held = look(&two).await.unwrap_err();
    assert!(held.contains("GitHub is not asked for another"), "{held}");
    assert!(look(&other).await.is_ok());
    peer.finish();
}

#[tokio::test]
async fn what_holds_a_call_up_is_told_so_that_a_program_can_wait() {
    let limited = |seconds| {
        let wait = [("retry-after", seconds)];
        with_headers(429, &wait, json!({"message": "slow down"}))
    };
    let broken = || (LOOK, status(502, json!({"message": "Server Error"})));
    let cases = [
        (vec![(LOOK, limited("600"))], 590_000..=600_000, false),
        // What does not pass within the call's own patience may take as long again.
        (vec![broken(), broken(), broken()], 2_000..=2_000, true),
    ];
    for (script, waits, is_outage) in cases {
        let peer = FaultServer::start(script).await;
        let client = Client::start(config(&peer.url)).await;
        let answer = client.call("preflight", &repository(), None).await;
        assert_eq!(answer.is_error, Some(true));
        let later: ForgeLater = serde_json::from_value(answer.structured_content.unwrap()).unwrap();
        assert!(waits.contains(&later.retry_after_ms), "{later:?}");
        assert_eq!(later.is_outage, is_outage);
        assert!(later.reason.contains("octo/demo"), "{later:?}");
        peer.finish();
    }
    let gone = (LOOK, status(404, json!({"message": "Not Found"})));
    let peer = FaultServer::start([gone]).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.call("preflight", &repository(), None).await;
    assert_eq!(answer.structured_content, None, "waiting does not help");
}

#[tokio::test]
async fn a_budget_that_an_answer_uses_up_is_not_overdrawn() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let reset = (now + Duration::from_secs(900)).as_secs().to_string();
    let last = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", reset.as_str()),
    ];
    let peer = FaultServer::start([(LOOK, with_headers(200, &last, demo()))]).await;
    let (one, two) = pair(config(&peer.url)).await;
    assert!(look(&one).await.is_ok());
    for client in [&one, &two] {
        let held = look(client).await.unwrap_err();
        assert!(held.contains("hourly budget"), "{held}");
    }
    peer.finish();
}

#[tokio::test]
async fn what_is_known_is_asked_for_by_its_tag() {
    let tagged = with_headers(200, &[("etag", "\"one\"")], demo());
    let same = Reply::Answer(304, vec![("etag", "\"one\"".to_owned())], String::new());
    let mut changed = demo();
    changed["default_branch"] = json!("main");
    let changed = with_headers(200, &[("etag", "\"two\"")], changed);
    let peer = FaultServer::start([(LOOK, tagged), (LOOK, same), (LOOK, changed)]).await;
    let (one, two) = pair(config(&peer.url)).await;
    assert_eq!(look(&one).await.unwrap().default_branch, "trunk");
    assert_eq!(look(&two).await.unwrap().default_branch, "trunk");
    assert_eq!(look(&one).await.unwrap().default_branch, "main");
    let seen = peer.finish();
    let asked: Vec<_> = seen
        .iter()
        .map(|seen| seen.header("if-none-match"))
        .collect();
    assert_eq!(asked, [None, Some("\"one\""), Some("\"one\"")]);
}

#[tokio::test]
async fn two_that_create_content_take_turns() {
    const PULLS: &str = "/repos/octo/demo/pulls";
    let steps = [
        ("GET /repos/octo/demo/pulls", ok(json!([]))),
        ("POST /repos/octo/demo/pulls", ok(pull(1))),
        ("GET /repos/octo/demo/pulls", ok(json!([]))),
        ("POST /repos/octo/demo/pulls", ok(pull(2))),
    ];
    assert!(steps.iter().all(|(line, _)| line.ends_with(PULLS)));
    let peer = FaultServer::start(steps).await;
    let mut config = config(&peer.url);
    config.limits.write_pause = Duration::from_millis(400);
    let (one, two) = pair(config).await;
    let begun = Instant::now();
    for client in [&one, &two] {
        let _: OpenedPullRequest = client.pipeline("pull_request", &wanted()).await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(400));
    peer.finish();
}

#[tokio::test]
async fn the_runs_on_a_repository_share_its_token() {
    let double = double::Double::start(double::State::default()).await;
    let app = crate::app::as_app(&double.url, &keys::ours());
    let (one, two) = pair(app).await;
    assert!(look(&one).await.is_ok() && look(&two).await.is_ok());
    assert_eq!(double.state().wanted.len(), 1);
}

fn wanted() -> OpenPullRequest {
    OpenPullRequest {
        repository: repository(),
        head: "work".to_owned(),
        head_sha: "0".repeat(40),
        base: "trunk".to_owned(),
        title: "One".to_owned(),
        summary: String::new(),
        evidence: String::new(),
        draft: false,
        head_repository: None,
        run: None,
        template: None,
    }
}

fn pull(number: u64) -> Value {
    let side =
        |branch: &str| json!({"ref": branch, "sha": "0", "repo": {"full_name": "octo/demo"}});
    json!({
        "number": number, "html_url": format!("https://github.com/octo/demo/pull/{number}"),
        "draft": false, "state": "open", "title": "One", "body": "",
        "head": side("work"), "base": side("trunk"), "user": {"login": "me"}
    })
}
