//! Labels and people: what GitHub does not take is a warning, and the rest is put there.

use pullwright_tool_kit::protocol::forge::{DetailsSet, ForgeLater, PullRequestDetails};
use serde_json::{Value, json};

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, Seen, Step, ok, status, with_headers};

const LABEL: &str = "GET /repos/octo/demo/labels/good%20first";
const LABELS: &str = "POST /repos/octo/demo/issues/7/labels";
const ASSIGNEES: &str = "POST /repos/octo/demo/issues/7/assignees";
const EVENTS: &str = "GET /repos/octo/demo/issues/7/events";
const REVIEWERS: &str = "POST /repos/octo/demo/pulls/7/requested_reviewers";

fn details() -> PullRequestDetails {
    PullRequestDetails {
        repository: repository(),
        number: 7,
        labels: Vec::new(),
        reviewers: Vec::new(),
        team_reviewers: Vec::new(),
        assignees: Vec::new(),
        again: false,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn set(details: &PullRequestDetails, script: Vec<Step>) -> (Vec<String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let set: DetailsSet = client
        .pipeline("pull_request_details", details)
        .await
        .unwrap();
    (set.warnings, peer.finish())
}

fn not_a_collaborator() -> Reply {
    let message = "Reviews may only be requested from collaborators. One or more of the users or teams you \
                   specified is not a collaborator of the octo/demo repository.";
    status(422, json!({"message": message}))
}

fn pull() -> Value {
    json!({"number": 7})
}

#[tokio::test]
async fn everything_is_put_there() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        reviewers: names(&["ann"]),
        team_reviewers: names(&["core"]),
        assignees: names(&["Bob"]),
        ..details()
    };
    let script = vec![
        (LABEL, ok(json!({"name": "good first"}))),
        (LABELS, ok(json!([{"name": "Good First"}]))),
        (
            ASSIGNEES,
            status(201, json!({"number": 7, "assignees": [{"login": "bob"}]})),
        ),
        (REVIEWERS, status(201, pull())),
    ];
    let (warnings, seen) = set(&details, script).await;
    assert_eq!(warnings, [""; 0]);
    assert_eq!(seen[1].body, json!({"labels": ["good first"]}));
    assert_eq!(seen[2].body, json!({"assignees": ["Bob"]}));
    assert_eq!(
        seen[3].body,
        json!({"reviewers": ["ann"], "team_reviewers": ["core"]})
    );
}

#[tokio::test]
async fn nothing_wanted_asks_for_nothing() {
    assert_eq!(set(&details(), vec![]).await.0, [""; 0]);
}

#[tokio::test]
async fn a_label_that_does_not_exist_is_not_made() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        ..details()
    };
    let script = vec![(LABEL, status(404, json!({"message": "Not Found"})))];
    let (warnings, _) = set(&details, script).await;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("there is no label `good first` in octo/demo"),
        "{warnings:?}"
    );
}

/// GitHub drops what the token may not set, and who cannot be assigned, without a word.
#[tokio::test]
async fn what_is_dropped_is_told() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        assignees: names(&["bob", "eve"]),
        ..details()
    };
    let script = vec![
        (LABEL, ok(json!({"name": "good first"}))),
        (LABELS, ok(json!([]))),
        (
            ASSIGNEES,
            status(201, json!({"assignees": [{"login": "bob"}]})),
        ),
    ];
    let (warnings, _) = set(&details, script).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("the label `good first`"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("the assignee `eve`"), "{warnings:?}");
}

#[tokio::test]
async fn one_bad_reviewer_does_not_keep_the_others_out() {
    let details = PullRequestDetails {
        reviewers: names(&["ann", "eve"]),
        team_reviewers: names(&["core"]),
        ..details()
    };
    let script = vec![
        (REVIEWERS, not_a_collaborator()),
        (REVIEWERS, status(201, pull())),
        (REVIEWERS, not_a_collaborator()),
        (REVIEWERS, status(201, pull())),
    ];
    let (warnings, seen) = set(&details, script).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("asking `eve` for a review failed"),
        "{warnings:?}"
    );
    assert_eq!(
        seen[1].body,
        json!({"reviewers": ["ann"], "team_reviewers": []})
    );
    assert_eq!(
        seen[3].body,
        json!({"reviewers": [], "team_reviewers": ["core"]})
    );
}

#[tokio::test]
async fn a_fault_of_one_kind_leaves_the_others() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        reviewers: names(&["ann"]),
        assignees: names(&["bob"]),
        ..details()
    };
    let forbidden = || {
        status(
            403,
            json!({"message": "Resource not accessible by integration"}),
        )
    };
    let script = vec![
        (LABEL, forbidden()),
        (ASSIGNEES, Reply::HangUp),
        (
            ASSIGNEES,
            status(201, json!({"assignees": [{"login": "bob"}]})),
        ),
        (REVIEWERS, not_a_collaborator()),
    ];
    let (warnings, _) = set(&details, script).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("looking for the label"),
        "{warnings:?}"
    );
    assert!(warnings[1].contains("asking for a review"), "{warnings:?}");
}

#[tokio::test]
async fn what_passes_is_to_be_asked_for_again_and_the_rest_is_put_there() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        reviewers: names(&["ann"]),
        assignees: names(&["bob"]),
        ..details()
    };
    let broken = || status(502, json!({"message": "Server Error"}));
    let script = vec![
        (LABEL, ok(json!({"name": "good first"}))),
        (LABELS, ok(json!([{"name": "good first"}]))),
        (ASSIGNEES, broken()),
        (ASSIGNEES, broken()),
        (ASSIGNEES, broken()),
        (REVIEWERS, status(201, pull())),
    ];
    let later = later(&details, script).await;
    assert!(later.is_outage, "{later:?}");
    let reason = &later.reason;
    assert!(reason.contains("assigning the pull request"), "{reason}");
}

#[tokio::test]
async fn a_limit_is_to_be_waited_for() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        reviewers: names(&["ann"]),
        ..details()
    };
    let body = json!({"message": "You have exceeded a secondary rate limit."});
    let limit = with_headers(403, &[("retry-after", "600")], body);
    // Nothing more is sent while GitHub does not want to be asked.
    let later = later(&details, vec![(LABEL, limit)]).await;
    assert!(
        !later.is_outage && later.retry_after_ms > 500_000,
        "{later:?}"
    );
}

/// People may have done with it meanwhile, or have taken it away.
#[tokio::test]
async fn what_was_put_there_before_is_not_put_there_again() {
    let details = PullRequestDetails {
        labels: names(&["good first"]),
        reviewers: names(&["ann", "eve"]),
        team_reviewers: names(&["core"]),
        assignees: names(&["bob"]),
        again: true,
        ..details()
    };
    let events = json!([
        {"event": "labeled", "label": {"name": "Good First"}},
        {"event": "unlabeled", "label": {"name": "Good First"}},
        {"event": "assigned", "assignee": {"login": "bob"}, "assigner": {"login": "robot"}},
        {"event": "review_requested", "requested_reviewer": {"login": "Ann"}},
        {"event": "review_requested", "requested_team": {"slug": "core"}},
        {"event": "review_request_removed", "requested_reviewer": {"login": "eve"}},
    ]);
    let script = vec![(EVENTS, ok(events)), (REVIEWERS, status(201, pull()))];
    let (warnings, seen) = set(&details, script).await;
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        seen[1].body,
        json!({"reviewers": ["eve"], "team_reviewers": []})
    );
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_put_there_again() {
    let details = PullRequestDetails {
        reviewers: names(&["ann"]),
        again: true,
        ..details()
    };
    let missing = status(404, json!({"message": "Not Found"}));
    let script = vec![(EVENTS, missing), (REVIEWERS, status(201, pull()))];
    assert_eq!(set(&details, script).await.0, [""; 0]);
}

async fn later(details: &PullRequestDetails, script: Vec<Step>) -> ForgeLater {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.call("pull_request_details", details, None).await;
    assert_eq!(answer.is_error, Some(true));
    peer.finish();
    serde_json::from_value(answer.structured_content.unwrap()).unwrap()
}
