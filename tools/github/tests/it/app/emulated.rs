//! The same on an emulator of GitHub.

use pullwright_tool_kit::protocol::forge::{
    ForgeCredential, ForgeRepository, OpenPullRequest, OpenedPullRequest, Preflight,
};
use serde_json::json;

use super::double::APP_ID;
use super::{as_app, keys};
use crate::client::{Client, ORIGIN};
use crate::peers::emulate::{self, Emulate, NAME, OWNER};
use crate::peers::process::Peers;

fn repository() -> ForgeRepository {
    ForgeRepository {
        origin: ORIGIN.to_owned(),
        owner: OWNER.to_owned(),
        name: NAME.to_owned(),
    }
}

#[tokio::test]
async fn an_app_works_on_an_emulated_github() {
    let Some(peers) = Peers::find("a GitHub App on an emulated GitHub") else {
        return;
    };
    let permissions = json!({"contents": "write", "issues": "write", "metadata": "read",
        "pull_requests": "write"});
    let api = Emulate::start_with(
        &peers,
        true,
        &[emulate::app(APP_ID, &keys::ours_in_pkcs8(), &permissions)],
    )
    .await;
    let client = Client::start(as_app(&api.url(), &keys::ours())).await;

    let seen: Preflight = client.pipeline("preflight", &repository()).await.unwrap();
    assert!(seen.can_push, "{seen:?}");
    let main = api.get("/git/ref/heads/main").await["object"]["sha"].clone();
    api.post("/git/refs", &json!({"ref": "refs/heads/work", "sha": main}))
        .await;
    let wanted = OpenPullRequest {
        repository: repository(),
        head: "work".to_owned(),
        head_sha: main.as_str().unwrap().to_owned(),
        base: "main".to_owned(),
        title: "One".to_owned(),
        summary: "s".to_owned(),
        evidence: "e".to_owned(),
        draft: false,
        head_repository: None,
        run: None,
        template: None,
    };
    let opened: OpenedPullRequest = client.pipeline("pull_request", &wanted).await.unwrap();
    assert!(opened.number > 0);
    let credential: ForgeCredential = client.pipeline("credential", &repository()).await.unwrap();
    assert!(credential.password.unwrap().starts_with("ghs_"));

    let given = api.app_tokens().await;
    assert_eq!(given.len(), 1, "{given:?}");
    let narrowed = json!({"contents": "write", "issues": "read", "metadata": "read",
        "pull_requests": "write"});
    assert_eq!(given[0]["permissions"], narrowed);
    assert_eq!(given[0]["repository_ids"].as_array().unwrap().len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn an_emulated_github_says_what_was_not_granted() {
    let Some(peers) = Peers::find("a GitHub App without rights on an emulated GitHub") else {
        return;
    };
    let granted = json!({"metadata": "read"});
    let app = emulate::app(APP_ID, &keys::ours_in_pkcs8(), &granted);
    let api = Emulate::start_with(&peers, true, &[app]).await;
    let client = Client::start(as_app(&api.url(), &keys::ours())).await;
    let repository = repository();
    let answer = client.pipeline::<Preflight>("preflight", &repository);
    let message = answer.await.unwrap_err();
    assert!(
        message.contains("contents: write, issues: read, pull_requests: write"),
        "{message}"
    );
    api.stop().await;
}
