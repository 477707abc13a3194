//! The account's fork is found, or made once and waited for.

use std::time::Duration;

use pullwright_github::Secret;
use pullwright_tool_kit::protocol::forge::{ForgeLater, ForgeRepository, Forked};
use serde_json::{Value, json};

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, Seen, Step, ok, status, with_headers};

const USER: &str = "GET /user";
const USUAL: &str = "GET /repos/robot/demo";
const USUAL_BRANCH: &str = "GET /repos/robot/demo/git/ref/heads/trunk";
const MAKE: &str = "POST /repos/octo/demo/forks";
const LOOK: &str = "GET /repos/robot/demo-1";
const BRANCH: &str = "GET /repos/robot/demo-1/git/ref/heads/trunk";

fn fork(name: &str, parent: &str) -> Value {
    json!({
        "full_name": format!("robot/{name}"), "default_branch": "trunk", "fork": true,
        "parent": {"full_name": parent}, "source": {"full_name": parent},
        "permissions": {"push": true}
    })
}

fn user() -> Step {
    (USER, ok(json!({"login": "robot"})))
}

fn missing() -> Reply {
    status(404, json!({"message": "Not Found"}))
}

fn made() -> Step {
    (MAKE, status(202, fork("demo-1", "Octo/demo")))
}

fn ready() -> [Step; 2] {
    [
        (LOOK, ok(fork("demo-1", "octo/demo"))),
        (BRANCH, ok(json!({"ref": "refs/heads/trunk"}))),
    ]
}

async fn run(script: Vec<Step>) -> (Result<Forked, String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline("fork", &repository()).await;
    (answer, peer.finish())
}

fn named(name: &str, is_new: bool) -> Forked {
    Forked {
        repository: ForgeRepository {
            owner: "robot".to_owned(),
            name: name.to_owned(),
            ..repository()
        },
        is_new,
    }
}

#[tokio::test]
async fn one_that_is_there_is_used() {
    let script = vec![
        user(),
        (USUAL, ok(fork("demo", "octo/Demo"))),
        (USUAL, ok(fork("demo", "octo/Demo"))),
        (USUAL_BRANCH, ok(json!({"ref": "refs/heads/trunk"}))),
    ];
    assert_eq!(run(script).await.0, Ok(named("demo", false)));
}

/// Its default branch may have a name with a meaning in a URL.
#[tokio::test]
async fn a_branch_stays_in_its_place_in_the_path() {
    let mut there = fork("demo", "octo/demo");
    there["default_branch"] = json!("next/50%?#ü");
    let branch = "GET /repos/robot/demo/git/ref/heads/next/50%25%3F%23%C3%BC";
    let script = vec![
        user(),
        (USUAL, ok(there.clone())),
        (USUAL, ok(there)),
        (branch, ok(json!({"ref": "refs/heads/next/50%?#ü"}))),
    ];
    assert_eq!(run(script).await.0, Ok(named("demo", false)));
}

/// A call before this one has made it, and could not wait for it.
#[tokio::test]
async fn one_that_is_there_and_not_ready_is_waited_for() {
    let empty = status(409, json!({"message": "Git Repository is empty."}));
    let there = || (USUAL, ok(fork("demo", "octo/demo")));
    let script = vec![
        user(),
        there(),
        there(),
        (USUAL_BRANCH, empty),
        there(),
        (USUAL_BRANCH, ok(json!({"ref": "refs/heads/trunk"}))),
    ];
    assert_eq!(run(script).await.0, Ok(named("demo", false)));
}

/// That GitHub takes its time is no answer to whether there is a fork.
#[tokio::test]
async fn one_that_is_not_ready_in_time_is_to_be_asked_for_later() {
    let peer = FaultServer::start([user(), (USUAL, missing()), made(), (LOOK, missing())]).await;
    let mut config = config(&peer.url);
    config.limits.longest_wait = Duration::ZERO;
    let client = Client::start(config).await;
    let answer = client.call("fork", &repository(), None).await;
    assert_eq!(answer.is_error, Some(true));
    let later: ForgeLater = serde_json::from_value(answer.structured_content.unwrap()).unwrap();
    assert!(!later.is_outage, "{later:?}");
    assert!(later.reason.contains("robot/demo-1"), "{later:?}");
    peer.finish();
}

#[tokio::test]
async fn a_new_one_is_waited_for() {
    let empty = status(409, json!({"message": "Git Repository is empty."}));
    let mut script = vec![
        user(),
        (USUAL, missing()),
        made(),
        (LOOK, missing()),
        (LOOK, ok(fork("demo-1", "octo/demo"))),
        (BRANCH, empty),
    ];
    script.extend(ready());
    let (answer, seen) = run(script).await;
    assert_eq!(answer, Ok(named("demo-1", true)));
    assert_eq!(seen[2].body, json!({"default_branch_only": true}));
}

#[tokio::test]
async fn a_repository_of_that_name_that_is_no_fork_is_left_alone() {
    for other in [
        json!({"full_name": "robot/demo", "default_branch": "trunk", "fork": false}),
        fork("demo", "somebody/demo"),
        fork("renamed", "octo/demo"),
    ] {
        let mut script = vec![user(), (USUAL, ok(other)), made()];
        script.extend(ready());
        assert_eq!(run(script).await.0, Ok(named("demo-1", true)));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_fork_of_it_is_not_used() {
    for other in [fork("demo-1", "somebody/demo"), fork("..", "octo/demo")] {
        let script = vec![user(), (USUAL, missing()), (MAKE, status(202, other))];
        let message = run(script).await.0.unwrap_err();
        assert!(message.contains("no fork of that"), "{message}");
    }
}

/// GitHub answers with the same fork again.
#[tokio::test]
async fn making_one_is_tried_again() {
    let mut script = vec![
        user(),
        (USUAL, missing()),
        (MAKE, Reply::HangUp),
        (MAKE, status(502, json!({"message": "Server Error"}))),
        made(),
    ];
    script.extend(ready());
    assert_eq!(run(script).await.0, Ok(named("demo-1", true)));
}

#[tokio::test]
async fn what_forbids_one_is_said() {
    let forbidden = || {
        status(
            403,
            json!({"message": "Resource not accessible by personal access token"}),
        )
    };
    let own = vec![(USER, ok(json!({"login": "Octo"})))];
    let table: [(Vec<Step>, &str); 4] = [
        (own, "cannot fork its own repository"),
        (
            vec![(USER, status(401, json!({"message": "Bad credentials"})))],
            "MY_TOKEN",
        ),
        (
            vec![user(), (USUAL, missing()), (MAKE, forbidden())],
            "forking octo/demo failed",
        ),
        (
            vec![user(), (USUAL, missing()), made(), (LOOK, forbidden())],
            "looking at the fork robot/demo-1",
        ),
    ];
    for (script, expected) in table {
        let message = run(script).await.0.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_moved_name_is_no_fork_and_github_says_which_is() {
    let moved = with_headers(
        301,
        &[("location", "/repositories/9")],
        json!({"message": "Moved"}),
    );
    let mut script = vec![user(), (USUAL, moved), made()];
    script.extend(ready());
    assert_eq!(run(script).await.0, Ok(named("demo-1", true)));
}

#[tokio::test]
async fn who_cannot_propose_from_one_makes_none() {
    for token in ["github_pat_sesame0123456789", "ghs_sesame0123456789"] {
        let peer = FaultServer::start([]).await;
        let mut config = config(&peer.url);
        config.token = Some(Secret::new(token));
        let client = Client::start(config).await;
        let message = client
            .pipeline::<Forked>("fork", &repository())
            .await
            .unwrap_err();
        assert!(message.contains("classic token"), "{message}");
        assert!(peer.finish().is_empty());
    }
}

/// What only has to be waited for is no answer to whether there is a fork.
#[tokio::test]
async fn a_limit_is_told_as_one() {
    let wait = [("retry-after", "600")];
    let limited = || with_headers(429, &wait, json!({"message": "slow down"}));
    for script in [
        vec![(USER, limited())],
        vec![user(), (USUAL, missing()), (MAKE, limited())],
        vec![user(), (USUAL, missing()), made(), (LOOK, limited())],
    ] {
        let peer = FaultServer::start(script).await;
        let client = Client::start(config(&peer.url)).await;
        let answer = client.call("fork", &repository(), None).await;
        assert_eq!(answer.is_error, Some(true));
        let later: ForgeLater = serde_json::from_value(answer.structured_content.unwrap()).unwrap();
        assert!(
            !later.is_outage && later.retry_after_ms > 500_000,
            "{later:?}"
        );
        peer.finish();
    }
}
