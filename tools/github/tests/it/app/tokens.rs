//! One narrow token, for as long as it is good.

use std::time::Duration;

use futures_util::future::join_all;
use pullwright_github::Secret;
use pullwright_tool_kit::protocol::forge::{
    ForgeCredential, ForgePermission, ForgeUser, OpenPullRequest, OpenedPullRequest, Preflight,
};
use serde_json::json;

use super::double::{APP_ID, Double, State};
use super::{as_app, keys};
use crate::client::{Client, repository};

/// Starts both, with the App's own key.
pub(super) async fn start(state: State) -> (Double, Client) {
    let double = Double::start(state).await;
    let client = Client::start(as_app(&double.url, &keys::ours())).await;
    (double, client)
}

pub(super) async fn preflight(client: &Client) -> Result<Preflight, String> {
    client.pipeline("preflight", &repository()).await
}

/// One request in the name of the repository.
async fn ask_once(client: &Client) {
    let user = ForgeUser {
        repository: repository(),
        login: "ann".to_owned(),
    };
    let _: ForgePermission = client.pipeline("permission", &user).await.unwrap();
}

async fn credential(client: &Client) -> Result<String, String> {
    let credential: ForgeCredential = client.pipeline("credential", &repository()).await?;
    assert_eq!(credential.username, "x-access-token");
    Ok(credential.password.unwrap())
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
        draft: true,
        head_repository: None,
        run: None,
        template: None,
    }
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_for_what_is_needed() {
    let (double, client) = start(State::default()).await;
    let seen = preflight(&client).await.unwrap();
    assert!(seen.can_push, "{seen:?}");
    let state = double.state();
    let needed = json!({"contents": "write", "issues": "read", "metadata": "read",
        "pull_requests": "write"});
    assert_eq!(
        state.wanted,
        [json!({"repositories": ["demo"], "permissions": needed})]
    );
    let claims = &state.claims[0];
    assert_eq!(claims["iss"], APP_ID);
    let lasts = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lasts, 600);
}

#[tokio::test]
async fn workflows_are_asked_for_only_where_the_row_says_so() {
    let double = Double::start(State::default()).await;
    let mut config = as_app(&double.url, &keys::ours());
    config.app.as_mut().unwrap().workflows = true;
    let client = Client::start(config).await;
    let seen = preflight(&client).await.unwrap();
    assert_eq!(seen.why_no_workflows, None);
    assert_eq!(
        double.state().wanted[0]["permissions"]["workflows"],
        "write"
    );
}

#[tokio::test]
async fn whoever_only_talks_is_not_given_the_right_to_push() {
    let granted = json!({"contents": "write", "issues": "write", "metadata": "read",
        "pull_requests": "write"});
    for (checks, expected) in [
        (None, None),
        (Some("read"), Some("read")),
        (Some("admin"), Some("write")),
    ] {
        let mut permissions = granted.clone();
        permissions["checks"] = json!(checks);
        let mut state = State::default();
        let is_granted = |(_, level): &(&String, &serde_json::Value)| !level.is_null();
        let kept = permissions.as_object().unwrap().iter().filter(is_granted);
        state.permissions = kept
            .map(|(name, level)| (name.clone(), level.clone()))
            .collect();
        let double = Double::start(state).await;
        let mut config = as_app(&double.url, &keys::ours());
        config.app.as_mut().unwrap().talks = true;
        let client = Client::start(config).await;
        let user = ForgeUser {
            repository: repository(),
            login: "ann".to_owned(),
        };
        let _: Result<ForgePermission, String> = client.pipeline("permission", &user).await;
        let mut needed = json!({"issues": "write", "metadata": "read", "pull_requests": "write"});
        if let Some(expected) = expected {
            needed["checks"] = json!(expected);
        }
        assert_eq!(double.state().wanted[0]["permissions"], needed);
    }
}

#[tokio::test]
async fn git_and_all_calls_of_a_run_share_a_token() {
    let (double, client) = start(State::default()).await;
    assert_eq!(credential(&client).await.unwrap(), "ghs_canary0000");
    preflight(&client).await.unwrap();
    let opened: OpenedPullRequest = client.pipeline("pull_request", &wanted()).await.unwrap();
    assert_eq!(opened.number, 7);
    client.model("search", json!({"query": "x"})).await.unwrap();
    assert_eq!(credential(&client).await.unwrap(), "ghs_canary0000");
    assert_eq!(double.state().wanted.len(), 1);
}

#[tokio::test]
async fn fifty_calls_at_once_ask_for_one_token() {
    let (double, client) = start(State::default()).await;
    for answer in join_all((0..50).map(|_| preflight(&client))).await {
        answer.unwrap();
    }
    assert_eq!(double.state().wanted.len(), 1);

    double.state().revoke();
    for answer in join_all((0..50).map(|_| preflight(&client))).await {
        answer.unwrap();
    }
    assert_eq!(double.state().wanted.len(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_before_it_expires() {
    for (seconds, tokens) in [(600, 1), (290, 3)] {
        let (double, client) = start(State {
            life: Duration::from_secs(seconds),
            ..State::default()
        })
        .await;
        for _ in 0..3 {
            ask_once(&client).await;
        }
        assert_eq!(double.state().wanted.len(), tokens, "{seconds} s");
    }
}

#[tokio::test]
async fn how_long_a_token_lasts_is_counted_by_github_s_clock() {
    // Within what GitHub forgives, but enough to take the token for one that needs renewal.
    let (double, client) = start(State {
        life: Duration::from_secs(320),
        clock: -40,
        ..State::default()
    })
    .await;
    preflight(&client).await.unwrap();
    preflight(&client).await.unwrap();
    assert_eq!(double.state().wanted.len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_until_it_expires() {
    let (double, client) = start(State {
        life: Duration::from_secs(290),
        ..State::default()
    })
    .await;
    ask_once(&client).await;
    double.state().failures = [(502, "Server Error"); 9].into();
    ask_once(&client).await;
    assert_eq!(credential(&client).await.unwrap(), "ghs_canary0000");
    assert_eq!(double.state().wanted.len(), 1);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced_once() {
    let (double, client) = start(State::default()).await;
    let first = credential(&client).await.unwrap();
    double.state().revoke();
    let second = credential(&client).await.unwrap();
    assert_ne!(first, second);
    double.state().revoke();
    let opened: OpenedPullRequest = client.pipeline("pull_request", &wanted()).await.unwrap();
    assert_eq!(opened.number, 7);
    let state = double.state();
    assert_eq!(state.wanted.len(), 3);
    let posts = state.asked.iter();
    assert_eq!(
        posts
            .filter(|asked| *asked == "POST /repos/octo/demo/pulls")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_pull_request_that_meets_a_revoked_token_is_opened_once() {
    let (double, client) = start(State::default()).await;
    double.state().revoke_before_post = true;
    let _: OpenedPullRequest = client.pipeline("pull_request", &wanted()).await.unwrap();
    let state = double.state();
    assert_eq!((state.wanted.len(), state.opened), (2, 1));
}

#[tokio::test]
async fn a_token_is_waited_for_where_github_is_busy() {
    let (double, client) = start(State {
        failures: [(502, "Server Error"), (503, "")].into(),
        ..State::default()
    })
    .await;
    assert_eq!(credential(&client).await.unwrap(), "ghs_canary0000");
    assert_eq!(double.state().wanted.len(), 1);
}

#[tokio::test]
async fn enterprise_has_its_api_below_a_path() {
    let double = Double::below("/api/v3", State::default()).await;
    let client = Client::start(as_app(&double.url, &keys::ours_in_pkcs8())).await;
    preflight(&client).await.unwrap();
    assert_eq!(credential(&client).await.unwrap(), "ghs_canary0000");
}

#[tokio::test]
async fn a_key_in_one_line_is_taken_too() {
    let double = Double::start(State::default()).await;
    let mut config = as_app(&double.url, "");
    let key = keys::ours().trim().replace('\n', "\\n");
    config.app.as_mut().unwrap().key = Secret::new(key);
    preflight(&Client::start(config).await).await.unwrap();
}
