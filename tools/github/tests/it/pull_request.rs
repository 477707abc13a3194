//! A pull request is opened exactly once, whatever happens on the way.

use pullwright_tool_kit::protocol::RunId;
use pullwright_tool_kit::protocol::forge::{
    ForgeBranch, ForgeRepository, FoundPullRequest, OpenPullRequest, OpenedPullRequest,
};
use serde_json::{Value, json};

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, Seen, Step, ok, status, with_headers};

const LIST: &str = "GET /repos/octo/demo/pulls";
const CREATE: &str = "POST /repos/octo/demo/pulls";
const UPDATE: &str = "PATCH /repos/octo/demo/pulls/7";
const HEAD: &str = "pullwright/add-parser-1a2b";

fn wanted() -> OpenPullRequest {
    OpenPullRequest {
        repository: repository(),
        head: HEAD.to_owned(),
        head_sha: "0123456789012345678901234567890123456789".to_owned(),
        base: "trunk".to_owned(),
        title: "Add a parser".to_owned(),
        summary: "Adds a parser. Fixes #12, thanks @octocat.\n```\ncode\n```".to_owned(),
        evidence: "### Checks\n\n`cargo test`: exit 0 in 1.2 s".to_owned(),
        draft: true,
        head_repository: None,
        run: None,
        template: None,
    }
}

fn pull(number: u64, draft: bool) -> Value {
    json!({
        "number": number, "html_url": format!("https://github.com/octo/demo/pull/{number}"),
        "title": "Add a parser", "body": null, "state": "open", "draft": draft,
        "head": {"ref": HEAD, "repo": {"full_name": "Octo/demo"}},
        "base": {"ref": "trunk", "repo": {"full_name": "octo/demo"}}
    })
}

fn invalid(errors: Value) -> Reply {
    status(
        422,
        json!({"message": "Validation Failed", "errors": errors}),
    )
}

async fn run(script: Vec<Step>) -> (Result<OpenedPullRequest, String>, Vec<Seen>) {
    run_with(script, &wanted()).await
}

async fn run_with(
    script: Vec<Step>,
    wanted: &OpenPullRequest,
) -> (Result<OpenedPullRequest, String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline("pull_request", wanted).await;
    (answer, peer.finish())
}

fn none() -> Step {
    (LIST, ok(json!([])))
}

fn found() -> Step {
    (LIST, ok(json!([pull(7, true)])))
}

fn updated() -> Step {
    (UPDATE, ok(pull(7, true)))
}

fn created() -> Step {
    (CREATE, status(201, pull(7, true)))
}

#[tokio::test]
async fn it_is_created() {
    let (answer, seen) = run(vec![none(), created()]).await;
    let expected = OpenedPullRequest {
        url: "https://github.com/octo/demo/pull/7".to_owned(),
        number: 7,
        draft: true,
        base: Some("trunk".to_owned()),
    };
    assert_eq!(answer.unwrap(), expected);
    assert!(
        seen[0]
            .query
            .contains("head=octo%3Apullwright%2Fadd-parser-1a2b"),
        "{}",
        seen[0].query
    );
    insta::assert_json_snapshot!("created", seen[1].body);
}

#[tokio::test]
async fn the_open_one_of_the_same_branch_is_updated() {
    let (answer, seen) = run(vec![found(), updated()]).await;
    assert_eq!(answer.unwrap().number, 7);
    assert!(
        seen[1].body["body"]
            .as_str()
            .unwrap()
            .contains("cargo test")
    );
    assert_eq!(seen[1].body["title"], "Add a parser");
    assert_eq!(seen[1].body.get("base"), None);
}

#[tokio::test]
async fn one_that_somebody_else_described_keeps_its_words() {
    let mut theirs = pull(7, true);
    theirs["body"] = json!("Please look at the parser.");
    theirs["base"]["ref"] = json!("old");
    let (answer, seen) = run(vec![(LIST, ok(json!([theirs]))), updated()]).await;
    answer.unwrap();
    let body = seen[1].body["body"].as_str().unwrap();
    assert!(
        body.starts_with("Please look at the parser.\n\n<!-- pullwright:begin"),
        "{body}"
    );
    assert_eq!(seen[1].body.get("title"), None);
    assert_eq!(seen[1].body.get("base"), None);
}

#[tokio::test]
async fn one_of_a_fork_or_of_another_branch_is_not_ours() {
    let mut fork = pull(3, false);
    fork["head"]["repo"]["full_name"] = json!("eve/demo");
    let mut other = pull(4, false);
    other["head"]["ref"] = json!("other");
    let mut gone = pull(5, false);
    gone["head"]["repo"] = Value::Null;
    let (answer, _) = run(vec![(LIST, ok(json!([fork, other, gone]))), created()]).await;
    assert_eq!(answer.unwrap().number, 7);
}

#[tokio::test]
async fn after_a_failure_that_may_have_created_it_it_is_looked_for_first() {
    let failures = || {
        [
            status(502, json!({"message": "Server Error"})),
            status(500, json!({})),
            Reply::HangUp,
            Reply::Truncated,
            Reply::Answer(201, vec![], "not json".to_owned()),
        ]
    };
    for failure in failures() {
        let (answer, _) = run(vec![none(), (CREATE, failure), found(), updated()]).await;
        assert_eq!(answer.unwrap().number, 7);
    }
    // Seen only on the second look: the list may lag behind.
    for failure in failures().into_iter().take(4) {
        let (answer, _) = run(vec![none(), (CREATE, failure), none(), found(), updated()]).await;
        assert_eq!(answer.unwrap().number, 7);
    }
}

#[tokio::test]
async fn a_create_that_had_no_effect_is_tried_again() {
    for failure in [status(502, json!({})), Reply::HangUp] {
        let (answer, _) = run(vec![none(), (CREATE, failure), none(), none(), created()]).await;
        assert_eq!(answer.unwrap().number, 7);
    }
    let limited = with_headers(
        403,
        &[("retry-after", "0")],
        json!({"message": "secondary rate limit"}),
    );
    let (answer, _) = run(vec![none(), (CREATE, limited), created()]).await;
    assert_eq!(answer.unwrap().number, 7);
}

#[tokio::test]
async fn a_create_that_fails_again_and_again_is_given_up() {
    let bad = || (CREATE, status(502, json!({"message": "Server Error"})));
    let script = vec![
        none(),
        bad(),
        none(),
        none(),
        bad(),
        none(),
        none(),
        bad(),
        none(),
    ];
    let (answer, _) = run(script).await;
    let message = answer.unwrap_err();
    assert!(
        message.contains("opening the pull request from pullwright/add-parser-1a2b"),
        "{message}"
    );
    assert!(message.contains("HTTP 502"), "{message}");
}

#[tokio::test]
async fn one_that_exists_already_is_found() {
    let exists = || {
        let message = format!("A pull request already exists for octo:{HEAD}.");
        (
            CREATE,
            invalid(json!([{"resource": "PullRequest", "code": "custom", "message": message}])),
        )
    };
    let (answer, _) = run(vec![none(), exists(), found(), updated()]).await;
    assert_eq!(answer.unwrap().number, 7);
    let (answer, _) = run(vec![none(), exists(), none()]).await;
    assert!(answer.unwrap_err().contains("already exists"));
}

#[tokio::test]
async fn where_there_are_no_drafts_it_is_opened_ready() {
    let no_drafts = invalid(json!([
        "Draft pull requests are not supported in this repository."
    ]));
    let ready = (CREATE, status(201, pull(7, false)));
    let (answer, seen) = run(vec![none(), (CREATE, no_drafts), ready]).await;
    assert!(!answer.unwrap().draft);
    assert_eq!(
        (&seen[1].body["draft"], &seen[2].body["draft"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn a_branch_that_is_not_there_yet_is_waited_for_but_not_for_ever() {
    let unknown = |field: &str| {
        (
            CREATE,
            invalid(json!([{"resource": "PullRequest", "field": field, "code": "invalid"}])),
        )
    };
    let (answer, _) = run(vec![none(), unknown("head"), unknown("base"), created()]).await;
    assert_eq!(answer.unwrap().number, 7);
    let (answer, _) = run(vec![
        none(),
        unknown("head"),
        unknown("head"),
        unknown("head"),
    ])
    .await;
    let message = answer.unwrap_err();
    assert!(message.contains("head is invalid"), "{message}");
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    let nothing = format!("No commits between trunk and {HEAD}");
    let pat = json!({"message": "Resource not accessible by personal access token"});
    let needed = [("x-accepted-github-permissions", "pull_requests=write")];
    let table = [
        (
            invalid(json!([{"code": "custom", "message": nothing}])),
            "No commits between",
        ),
        (
            with_headers(403, &needed, pat),
            "give it pull_requests=write",
        ),
        (
            status(404, json!({"message": "Not Found"})),
            "does not exist",
        ),
        (
            status(401, json!({"message": "Bad credentials"})),
            "MY_TOKEN",
        ),
    ];
    for (reply, expected) in table {
        let (answer, _) = run(vec![none(), (CREATE, reply)]).await;
        let message = answer.unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_branch_name_that_is_none_is_refused_unasked() {
    for odd in ["", "a b", "a:b", "a\nb", "x?y", &"a".repeat(300)] {
        let mut wanted = wanted();
        wanted.head = odd.to_owned();
        let (answer, seen) = run_with(vec![], &wanted).await;
        assert!(answer.unwrap_err().contains("is not a branch"));
        assert!(seen.is_empty());
    }
}

async fn find(script: Vec<Step>, head: &str) -> (Result<FoundPullRequest, String>, Vec<Seen>) {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let branch = ForgeBranch {
        repository: repository(),
        head: head.to_owned(),
        head_repository: None,
    };
    let answer = client.pipeline("find_pull_request", &branch).await;
    (answer, peer.finish())
}

#[tokio::test]
async fn the_open_one_of_a_branch_is_found() {
    let mut other = pull(8, false);
    other["head"]["ref"] = json!("other");
    let (answer, seen) = find(vec![(LIST, ok(json!([other, pull(7, true)])))], HEAD).await;
    assert_eq!(answer.unwrap().open.map(|open| open.number), Some(7));
    assert_eq!(seen.len(), 1);
    let (answer, _) = find(vec![none()], HEAD).await;
    assert_eq!(answer.unwrap().open, None);
    let (answer, seen) = find(Vec::new(), "a b").await;
    assert!(answer.unwrap_err().contains("not a branch"));
    assert!(seen.is_empty());
}

/// The repository that the pull request comes from.
fn fork() -> ForgeRepository {
    ForgeRepository {
        owner: "robot".to_owned(),
        name: "demo-1".to_owned(),
        ..repository()
    }
}

fn pull_from_fork() -> Value {
    let mut pull = pull(7, true);
    pull["head"]["repo"]["full_name"] = json!("robot/demo-1");
    pull
}

#[tokio::test]
async fn a_fork_s_branch_is_proposed_across_repositories() {
    let wanted = OpenPullRequest {
        head_repository: Some(fork()),
        ..wanted()
    };
    // A branch of the same name in the repository itself is another one.
    let script = vec![
        (LIST, ok(json!([pull(6, true)]))),
        (CREATE, status(201, pull_from_fork())),
    ];
    let (answer, seen) = run_with(script, &wanted).await;
    assert_eq!(answer.unwrap().number, 7);
    assert!(
        seen[0].query.contains("head=robot%3Apullwright"),
        "{}",
        seen[0].query
    );
    assert_eq!(seen[1].body["head"], format!("robot:{HEAD}"));
    assert_eq!(seen[1].body.get("head_repo"), None);
    assert_eq!(seen[1].body["maintainer_can_modify"], true);

    let again = vec![
        (LIST, ok(json!([pull(6, true), pull_from_fork()]))),
        updated(),
    ];
    let (answer, _) = run_with(again, &wanted).await;
    assert_eq!(answer.unwrap().number, 7);
}

#[tokio::test]
async fn a_fork_of_the_same_owner_is_named() {
    let wanted = OpenPullRequest {
        head_repository: Some(ForgeRepository {
            owner: "Octo".to_owned(),
            ..fork()
        }),
        ..wanted()
    };
    let (_, seen) = run_with(vec![none(), created()], &wanted).await;
    assert_eq!(seen[1].body["head_repo"], "demo-1");
}

#[tokio::test]
async fn the_template_of_the_repository_is_kept() {
    let wanted = OpenPullRequest {
        run: Some(RunId("0199-ab".to_owned())),
        template: Some("## Description\n\n## Checklist\n- [ ] Tests\n".to_owned()),
        ..wanted()
    };
    let (_, seen) = run_with(vec![none(), created()], &wanted).await;
    let body = seen[1].body["body"].as_str().unwrap();
    assert!(
        body.starts_with("## Description\n\n<!-- pullwright:begin"),
        "{body}"
    );
    assert!(body.ends_with("## Checklist\n- [ ] Tests\n"), "{body}");
}

/// One to each of two bases.
#[tokio::test]
async fn of_several_pull_requests_the_one_of_the_run_is_updated() {
    let (mut other, mut own) = (pull(6, true), pull(7, true));
    other["body"] = json!("mine");
    own["body"] = json!(
        "<!-- pullwright:begin -->\n<!-- pullwright:run 0199-ab -->\n<!-- pullwright:end -->"
    );
    let wanted = OpenPullRequest {
        run: Some(RunId("0199-ab".to_owned())),
        ..wanted()
    };
    let (answer, _) = run_with(vec![(LIST, ok(json!([other, own]))), updated()], &wanted).await;
    assert_eq!(answer.unwrap().number, 7);
}
