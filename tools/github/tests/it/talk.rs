//! What it says to people, and what it knows of them: permissions, comments, checks.

use pullwright_tool_kit::protocol::forge::{
    FailedCheck, FailedChecks, ForgeCheckRun, ForgeComment, ForgeCommit, ForgePermission,
    ForgeThread, ForgeUser, PostedCheckRun, PostedComment, PullRequestHead,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, Seen, Step, ok, status};

const LIST: &str = "GET /repos/octo/demo/issues/5/comments";
const WRITE: &str = "POST /repos/octo/demo/issues/5/comments";
const EDIT: &str = "PATCH /repos/octo/demo/issues/comments/7";
const MARKER: &str = "pullwright:run 0199-ab";
const SHA: &str = "0123456789012345678901234567890123456789";

async fn call<T: DeserializeOwned>(
    tool: &'static str,
    arguments: &impl Serialize,
    script: Vec<Step>,
) -> (Result<T, String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline(tool, arguments).await;
    (answer, peer.finish())
}

async fn can_write(login: &str, script: Vec<Step>) -> Result<bool, String> {
    let user = ForgeUser {
        repository: repository(),
        login: login.to_owned(),
    };
    let (answer, _) = call::<ForgePermission>("permission", &user, script).await;
    answer.map(|permission| permission.can_write)
}

#[tokio::test]
async fn only_whoever_may_push_may_write() {
    const ROUTE: &str = "GET /repos/octo/demo/collaborators/ann/permission";
    for (permission, expected) in [
        ("admin", true),
        ("maintain", true),
        ("write", true),
        ("triage", false),
        ("read", false),
        ("none", false),
        ("", false),
    ] {
        let answer = ok(json!({ "permission": permission, "role_name": permission }));
        let answered = can_write("ann", vec![(ROUTE, answer)]).await;
        assert_eq!(answered, Ok(expected), "{permission}");
    }
    let unknown = status(404, json!({ "message": "Not Found" }));
    assert_eq!(can_write("ann", vec![(ROUTE, unknown)]).await, Ok(false));
    let message = "Must have push access to view collaborator permission.";
    let unseen = status(403, json!({ "message": message }));
    let refused = can_write("ann", vec![(ROUTE, unseen)]).await.unwrap_err();
    assert!(
        refused.contains("ann") && refused.contains("push access"),
        "{refused}"
    );
    for odd in ["", "ci[bot]", "a/b", "a b", "ä"] {
        assert!(can_write(odd, vec![]).await.is_err(), "{odd}");
    }
}

fn comment(id: Option<u64>) -> ForgeComment {
    ForgeComment {
        repository: repository(),
        number: 5,
        marker: MARKER.to_owned(),
        id,
        body: "**At work**".to_owned(),
        summary: "Fixes #1, thanks @octocat.\n```\nx".to_owned(),
    }
}

async fn say(wanted: &ForgeComment, script: Vec<Step>) -> (Result<Option<u64>, String>, Vec<Seen>) {
    let (answer, seen) = call::<PostedComment>("comment", wanted, script).await;
    (answer.map(|posted| posted.id), seen)
}

fn said(id: u64, body: &str) -> Value {
    json!({ "id": id, "body": body })
}

fn ours() -> Value {
    said(7, &format!("<!-- {MARKER} -->\nbefore"))
}

#[tokio::test]
async fn a_comment_is_written_once_and_then_changed() {
    let (id, seen) = say(
        &comment(None),
        vec![
            (LIST, ok(json!([said(1, "first")]))),
            (WRITE, status(201, ours())),
        ],
    )
    .await;
    assert_eq!(id, Ok(Some(7)));
    let body = seen[1].body["body"].as_str().unwrap();
    assert!(
        body.starts_with(&format!("<!-- {MARKER} -->\n**At work**\n\n")),
        "{body}"
    );
    assert!(
        !body.contains("@octocat") && !body.contains("#1,"),
        "{body}"
    );
    let quoted = format!("mine: <!-- {MARKER} -->");
    let there = json!([
        said(3, &quoted),
        ours(),
        said(9, &format!("<!-- {MARKER} -->"))
    ]);
    let (id, _) = say(&comment(None), vec![(LIST, ok(there)), (EDIT, ok(ours()))]).await;
    assert_eq!(id, Ok(Some(7)));
    let (id, _) = say(&comment(Some(7)), vec![(EDIT, ok(ours()))]).await;
    assert_eq!(id, Ok(Some(7)));
}

#[tokio::test]
async fn one_that_was_removed_is_not_written_again() {
    let gone = || status(404, json!({ "message": "Not Found" }));
    assert_eq!(
        say(&comment(Some(7)), vec![(EDIT, gone())]).await.0,
        Ok(None)
    );
}

#[tokio::test]
async fn one_that_may_be_there_is_looked_for_before_it_is_written_again() {
    let none = || (LIST, ok(json!([])));
    let broken = || status(502, json!({ "message": "Bad Gateway" }));
    for failure in [Reply::HangUp, Reply::Truncated, broken()] {
        let applied = vec![
            none(),
            (WRITE, failure.clone()),
            (LIST, ok(json!([ours()]))),
        ];
        assert_eq!(say(&comment(None), applied).await.0, Ok(Some(7)));
        let lost = vec![
            none(),
            (WRITE, failure),
            none(),
            (WRITE, status(201, ours())),
        ];
        assert_eq!(say(&comment(None), lost).await.0, Ok(Some(7)));
    }
    let forbidden = status(
        403,
        json!({ "message": "Resource not accessible by integration" }),
    );
    let (refused, _) = say(&comment(None), vec![none(), (WRITE, forbidden)]).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("#5"), "{refused}");
}

#[tokio::test]
async fn a_long_conversation_is_read_page_by_page() {
    let page = |first: u64| -> Value { (first..first + 100).map(|id| said(id, "words")).collect() };
    let script = vec![
        (LIST, ok(page(1000))),
        (LIST, ok(page(2000))),
        (LIST, ok(json!([ours()]))),
        (EDIT, ok(ours())),
    ];
    let (id, seen) = say(&comment(None), script).await;
    assert_eq!(id, Ok(Some(7)));
    assert!(seen[2].query.contains("page=3"), "{}", seen[2].query);
}

#[tokio::test]
async fn a_marker_cannot_end_its_own_comment() {
    for odd in ["", "a --> b", "a--b", "<!--", "é", &"x".repeat(201)] {
        let mut wanted = comment(None);
        wanted.marker = odd.to_owned();
        assert!(say(&wanted, vec![]).await.0.is_err(), "{odd}");
    }
}

#[tokio::test]
async fn a_pull_request_says_where_it_comes_from() {
    const PULL: &str = "GET /repos/octo/demo/pulls/5";
    let pull = |repo: Value, state: &str| {
        ok(json!({
            "number": 5, "html_url": "https://github.com/octo/demo/pull/5", "title": "x", "body": null,
            "state": state, "head": { "ref": "theirs", "repo": repo },
            "base": { "ref": "trunk", "repo": { "full_name": "octo/demo" } },
        }))
    };
    let thread = ForgeThread {
        repository: repository(),
        number: 5,
    };
    let own = json!({ "full_name": "Octo/Demo" });
    for (repo, state, is_own, is_open) in [
        (own.clone(), "open", true, true),
        (own, "closed", true, false),
        (json!({ "full_name": "fork/demo" }), "open", false, true),
        (Value::Null, "open", false, true),
    ] {
        let script = vec![(PULL, pull(repo, state))];
        let (head, _) = call::<PullRequestHead>("pull_request_head", &thread, script).await;
        let expected = PullRequestHead {
            branch: "theirs".to_owned(),
            is_own,
            is_open,
        };
        assert_eq!(head, Ok(expected));
    }
}

#[tokio::test]
async fn failed_checks_say_why() {
    let commit = ForgeCommit {
        repository: repository(),
        sha: SHA.to_owned(),
    };
    let check = |id: u64, conclusion: &str, annotations: u64| {
        json!({
            "id": id, "name": format!("check {id}"), "conclusion": conclusion, "html_url": null,
            "output": { "title": "Title", "summary": "x".repeat(9000), "text": null,
                "annotations_count": annotations },
        })
    };
    let checks = [
        check(1, "success", 0),
        check(2, "failure", 1),
        check(3, "timed_out", 0),
    ];
    let checks = json!({ "total_count": 3, "check_runs": checks });
    let annotations = json!([{ "path": "src/a.rs", "start_line": 3, "message": "it is wrong" }]);
    let script = vec![
        (
            "GET /repos/octo/demo/commits/0123456789012345678901234567890123456789/check-runs",
            ok(checks),
        ),
        (
            "GET /repos/octo/demo/check-runs/2/annotations",
            ok(annotations),
        ),
    ];
    let (failed, _) = call::<FailedChecks>("failed_checks", &commit, script).await;
    let failed = failed.unwrap().checks;
    let names: Vec<&str> = failed.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["check 2", "check 3"]);
    assert!(
        failed[0].output.starts_with("Title\n"),
        "{}",
        failed[0].output
    );
    assert!(
        failed[0].output.ends_with("src/a.rs:3: it is wrong"),
        "{}",
        failed[0].output
    );
    let is_short = |check: &FailedCheck| check.output.len() <= 4_200;
    assert!(failed.iter().all(is_short));
}

#[tokio::test]
async fn only_an_app_writes_a_check() {
    let wanted = |sha: &str| ForgeCheckRun {
        commit: ForgeCommit {
            repository: repository(),
            sha: sha.to_owned(),
        },
        external_id: "pullwright:1".to_owned(),
        succeeded: true,
        title: "The checks pass".to_owned(),
        summary: "- `true`: passed".to_owned(),
    };
    let (written, _) = call::<PostedCheckRun>("check_run", &wanted(SHA), vec![]).await;
    assert_eq!(written, Ok(PostedCheckRun { id: None }));
    for odd in ["", "main", "../../x", &SHA[1..]] {
        let (refused, _) = call::<PostedCheckRun>("check_run", &wanted(odd), vec![]).await;
        assert!(refused.is_err(), "{odd}");
    }
}
