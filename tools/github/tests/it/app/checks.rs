//! A check of the App's own, written once for each run.

use pullwright_tool_kit::protocol::forge::{ForgeCheckRun, ForgeCommit, PostedCheckRun};
use serde_json::json;

use super::{as_app, keys};
use crate::client::{Client, repository};
use crate::fault_server::{FaultServer, Reply, ok, status};

const CHECKS: &str =
    "GET /repos/octo/demo/commits/0123456789012345678901234567890123456789/check-runs";
const WRITE: &str = "POST /repos/octo/demo/check-runs";
const CHANGE: &str = "PATCH /repos/octo/demo/check-runs/5";

#[tokio::test]
async fn it_is_looked_for_before_it_is_written_again() {
    let permissions = json!({"checks": "write", "issues": "write", "metadata": "read",
        "pull_requests": "write"});
    let granted = json!({"token": "ghs_1", "expires_at": "2099-01-01T00:00:00Z"});
    let none = json!({"check_runs": []});
    let theirs = json!({"id": 4, "name": "Pullwright", "external_id": "pullwright:another"});
    let ours = json!({"id": 5, "name": "Pullwright", "external_id": "pullwright:1"});
    let there = json!({"check_runs": [theirs, ours]});
    let peer = FaultServer::start(vec![
        (
            "GET /repos/octo/demo/installation",
            ok(json!({"id": 99, "permissions": permissions})),
        ),
        (
            "POST /app/installations/99/access_tokens",
            status(201, granted),
        ),
        (CHECKS, ok(none)),
        (WRITE, Reply::HangUp),
        (CHECKS, ok(there.clone())),
        (CHECKS, ok(there)),
        (CHANGE, ok(ours)),
    ])
    .await;
    let mut config = as_app(&peer.url, &keys::ours());
    config.app.as_mut().unwrap().talks = true;
    let client = Client::start(config).await;
    let mut wanted = ForgeCheckRun {
        commit: ForgeCommit {
            repository: repository(),
            sha: "0123456789012345678901234567890123456789".to_owned(),
        },
        external_id: "pullwright:1".to_owned(),
        succeeded: true,
        title: "The checks pass".to_owned(),
        summary: "- `true`: passed".to_owned(),
    };
    for succeeded in [true, false] {
        wanted.succeeded = succeeded;
        let written: PostedCheckRun = client.pipeline("check_run", &wanted).await.unwrap();
        assert_eq!(written.id, Some(5));
    }
    let seen = peer.finish();
    let (first, second) = (&seen[3].body, &seen[6].body);
    assert_eq!(
        (&first["status"], &first["conclusion"]),
        (&json!("completed"), &json!("success"))
    );
    assert_eq!(first["head_sha"], wanted.commit.sha);
    assert_eq!(
        second["conclusion"], "neutral",
        "a failure would be one to repair"
    );
}
