//! A commit that GitHub makes: once, whatever happens on the way, and of the branch as it is expected to be.

use std::time::Duration;

use pullwright_tool_kit::protocol::forge::{AddedFile, CommitOnBranch, ForgeLater, MadeCommit};
use serde_json::{Value, json};

use crate::client::{Client, TOKEN, config, repository};
use crate::fault_server::{FaultServer, Reply, Seen, Step, ok, status, with_headers};

const MUTATE: &str = "POST /graphql";
const HEAD: &str = "GET /repos/octo/demo/git/ref/heads/pullwright/add-parser-1a2b";
const PARENT: &str = "0123456789012345678901234567890123456789";
const MADE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const COMMIT: &str = "GET /repos/octo/demo/git/commits/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn wanted() -> CommitOnBranch {
    CommitOnBranch {
        repository: repository(),
        branch: "pullwright/add-parser-1a2b".to_owned(),
        expected_head: PARENT.to_owned(),
        title: "Add a parser".to_owned(),
        body: "It parses.\n\nCo-authored-by: Ann <ann@example.com>".to_owned(),
        additions: vec![AddedFile {
            path: "src/parser.rs".to_owned(),
            contents: "Ly8gcGFyc2VzCg==".to_owned(),
        }],
        deletions: vec!["src/old.rs".to_owned()],
    }
}

fn made() -> Step {
    let commit = json!({ "commit": { "oid": MADE } });
    (
        MUTATE,
        ok(json!({ "data": { "createCommitOnBranch": commit } })),
    )
}

fn error(kind: &str, message: &str) -> Value {
    json!({
        "data": { "createCommitOnBranch": null },
        "errors": [{
            "type": kind,
            "path": ["createCommitOnBranch"],
            "locations": [{ "line": 1, "column": 48 }],
            "message": message,
        }],
    })
}

fn refused(kind: &str, message: &str) -> Step {
    (MUTATE, ok(error(kind, message)))
}

fn stale() -> Step {
    let message = format!("Expected branch to point to \"{PARENT}\" but it did not.");
    refused("STALE_DATA", &message)
}

fn head(sha: &str) -> Step {
    let object = json!({ "sha": sha, "type": "commit" });
    (HEAD, ok(json!({ "ref": "refs/heads/x", "object": object })))
}

fn commit(parent: &str, message: &str) -> Step {
    let parents = json!([{ "sha": parent }]);
    (
        COMMIT,
        ok(json!({ "sha": MADE, "message": message, "parents": parents })),
    )
}

/// What is there where GitHub has made the commit.
fn found() -> [Step; 2] {
    let wanted = wanted();
    let message = format!("{}\n\n{}", wanted.title, wanted.body);
    [head(MADE), commit(PARENT, &message)]
}

async fn run(script: impl IntoIterator<Item = Step>) -> (Result<MadeCommit, String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline("commit", &wanted()).await;
    (answer, peer.finish())
}

#[tokio::test]
async fn it_is_made_on_the_expected_head() {
    let (answer, seen) = run([made()]).await;
    assert_eq!(answer.unwrap().commit, MADE);
    assert_eq!(
        seen[0].header("authorization"),
        Some(format!("Bearer {TOKEN}").as_str())
    );
    let query = seen[0].body["query"].as_str().unwrap();
    assert!(
        query.contains("createCommitOnBranch(input: $input)"),
        "{query}"
    );
    let expected = json!({
        "branch": {
            "repositoryNameWithOwner": "octo/demo",
            "branchName": "pullwright/add-parser-1a2b",
        },
        "expectedHeadOid": PARENT,
        "message": {
            "headline": "Add a parser",
            "body": "It parses.\n\nCo-authored-by: Ann <ann@example.com>",
        },
        "fileChanges": {
            "additions": [{ "path": "src/parser.rs", "contents": "Ly8gcGFyc2VzCg==" }],
            "deletions": [{ "path": "src/old.rs" }],
        },
    });
    assert_eq!(seen[0].body["variables"]["input"], expected);
}

#[tokio::test]
async fn an_enterprise_server_is_asked_beside_its_rest() {
    let peer = FaultServer::start([("POST /api/graphql", made().1)]).await;
    let url = format!("{}/api/v3", peer.url);
    let client = Client::start(config(&url)).await;
    let answer: Result<MadeCommit, String> = client.pipeline("commit", &wanted()).await;
    assert_eq!(answer.unwrap().commit, MADE);
    let seen = peer.finish();
    assert!(seen[0].header("authorization").is_some());
}

#[tokio::test]
async fn after_a_failure_that_may_have_made_it_it_is_looked_for_first() {
    let something = json!({ "data": null, "errors": [{ "message": "Something went wrong" }] });
    for failure in [
        status(502, json!({ "message": "Server Error" })),
        ok(something),
        Reply::HangUp,
        Reply::Truncated,
        Reply::Answer(200, vec![], "not json".to_owned()),
    ] {
        let steps = [(MUTATE, failure.clone())].into_iter().chain(found());
        let (answer, _) = run(steps).await;
        assert_eq!(answer.unwrap().commit, MADE);
        // It was not made: it is made then.
        let (answer, _) = run([(MUTATE, failure), head(PARENT), made()]).await;
        assert_eq!(answer.unwrap().commit, MADE);
    }
}

/// A call that is made again after it was carried out.
#[tokio::test]
async fn one_that_is_there_is_found_and_not_made_again() {
    let (answer, _) = run([stale()].into_iter().chain(found())).await;
    assert_eq!(answer.unwrap().commit, MADE);
}

#[tokio::test]
async fn a_branch_that_github_does_not_know_yet_is_waited_for() {
    let unknown = refused("NOT_FOUND", "Could not resolve to a Ref");
    let (answer, _) = run([stale(), head(PARENT), unknown, head(PARENT), made()]).await;
    assert_eq!(answer.unwrap().commit, MADE);
    let (answer, _) = run([
        stale(),
        head(PARENT),
        stale(),
        head(PARENT),
        stale(),
        head(PARENT),
    ])
    .await;
    let told = answer.unwrap_err();
    assert!(told.contains("STALE_DATA"), "{told}");
}

#[tokio::test]
async fn what_somebody_else_has_put_there_is_left_alone() {
    let other = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    let gone = (HEAD, status(404, json!({ "message": "Not Found" })));
    for there in [
        vec![head(MADE), commit(PARENT, "Something else")],
        vec![head(MADE), commit(other, "Add a parser\n\nIt parses.")],
        vec![gone],
    ] {
        let (answer, _) = run([stale()].into_iter().chain(there)).await;
        let told = answer.unwrap_err();
        assert!(told.contains("the branch is not where it was"), "{told}");
    }
}

#[tokio::test]
async fn what_github_refuses_for_good_is_not_tried_again() {
    for (kind, message, remedy) in [
        (
            "FORBIDDEN",
            "Resource not accessible by integration",
            "lacks a right",
        ),
        (
            "FORBIDDEN",
            "Resource protected by organization SAML enforcement.",
            "single sign-on",
        ),
        (
            "UNPROCESSABLE",
            "A path was requested for deletion which does not exist",
            "does not accept these values",
        ),
    ] {
        let (answer, _) = run([refused(kind, message)]).await;
        let told = answer.unwrap_err();
        assert!(told.contains(message) && told.contains(remedy), "{told}");
    }
}

#[tokio::test]
async fn a_limit_is_waited_for_or_said() {
    let limited = |seconds: &str| {
        let body = error("RATE_LIMITED", "API rate limit exceeded for user ID 1.");
        (MUTATE, with_headers(200, &[("retry-after", seconds)], body))
    };
    let (answer, _) = run([limited("0"), made()]).await;
    assert_eq!(answer.unwrap().commit, MADE);
    let peer = FaultServer::start([limited("600")]).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.call("commit", &wanted(), None).await;
    assert_eq!(answer.is_error, Some(true));
    let later: ForgeLater = serde_json::from_value(answer.structured_content.unwrap()).unwrap();
    assert!(!later.is_outage, "{later:?}");
    assert!(
        Duration::from_millis(later.retry_after_ms) > Duration::from_secs(500),
        "{later:?}"
    );
    // It is not asked again before that.
    let again = client.call("commit", &wanted(), None).await;
    assert_eq!(again.is_error, Some(true));
    peer.finish();
}

#[tokio::test]
async fn a_token_that_is_repeated_is_not_shown() {
    let echo = error("UNPROCESSABLE", &format!("you sent {TOKEN}"));
    let (answer, _) = run([(MUTATE, ok(echo))]).await;
    let told = answer.unwrap_err();
    assert!(
        told.contains("you sent …") && !told.contains(TOKEN),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_no_commit_or_branch_is_refused_unasked() {
    let peer = FaultServer::start([]).await;
    let client = Client::start(config(&peer.url)).await;
    for (wrong, why) in [
        (
            CommitOnBranch {
                expected_head: "main".to_owned(),
                ..wanted()
            },
            "is not a commit",
        ),
        (
            CommitOnBranch {
                branch: "a b".to_owned(),
                ..wanted()
            },
            "is not a branch",
        ),
    ] {
        let answer: Result<MadeCommit, String> = client.pipeline("commit", &wrong).await;
        let told = answer.unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    peer.finish();
}
