//! What the preflight says of the rules of branches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use pullwright_tool_kit::protocol::forge::{ForgeLater, ForgePreflight, PlannedPush, Preflight};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::{Client, config, repository};
use crate::preflight::demo;

/// Bodies as GitHub sends them; the tests of whole runs hold them against its description.
const BODIES: &str = include_str!("rules.json");

const OURS: &str = "pullwright/fix-42";
const RULES_OF_OURS: &str = "/repos/octo/demo/rules/branches/pullwright%2Ffix-42";
const RULES_OF_BASE: &str = "/repos/octo/demo/rules/branches/trunk";
const BASE: &str = "/repos/octo/demo/branches/trunk";
const RULESET: &str = "/repos/octo/demo/rulesets/42";

const DEMO: &str = "/repos/octo/demo";
/// A body has it where the answer has that header.
const RETRY_AFTER: &str = "retry-after";

type Answers = BTreeMap<String, (u16, Value)>;

/// A GitHub that answers by path, whatever the order, and 404 to the rest.
struct Peer {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answers, asked) = (Arc::new(answers), Arc::<Mutex<Vec<String>>>::default());
        let seen = Arc::clone(&asked);
        let answer = move |uri: Uri| {
            let path = uri.path().to_owned();
            seen.lock().unwrap().push(path.clone());
            let paged = uri.query().map(|query| format!("{path}?{query}"));
            let found = paged.and_then(|paged| answers.get(&paged));
            let found = found.or_else(|| answers.get(&path)).cloned();
            let not_found = (404, json!({"message": "Not Found"}));
            let (status, body) = found.unwrap_or(not_found);
            async move {
                let status = StatusCode::from_u16(status).unwrap();
                let wait = body[RETRY_AFTER].as_u64();
                let headers = wait.map(|wait| [(RETRY_AFTER, wait.to_string())]);
                match headers {
                    Some(headers) => (status, headers, body.to_string()).into_response(),
                    None => (status, body.to_string()).into_response(),
                }
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn bodies() -> Value {
    serde_json::from_str(BODIES).unwrap()
}

fn rule(kind: &str, parameters: &Value) -> Value {
    json!({"type": kind, "parameters": parameters, "ruleset_id": 42,
        "ruleset_source": "octo/demo", "ruleset_source_type": "Repository"})
}

fn ruleset(bypass: &str) -> Value {
    let mut ruleset = bodies()["ruleset"].clone();
    ruleset["current_user_can_bypass"] = json!(bypass);
    ruleset
}

/// A repository that may be pushed to, and what else is answered.
fn answers<const N: usize>(more: [(&str, u16, Value); N]) -> Answers {
    let more = more.map(|(path, status, body)| (path.to_owned(), (status, body)));
    let demo = ("/repos/octo/demo".to_owned(), (200, demo()));
    [demo].into_iter().chain(more).collect()
}

fn push() -> PlannedPush {
    PlannedPush {
        branch: OURS.to_owned(),
        grows: false,
        email: Some("robot@users.noreply.example".to_owned()),
        merges: false,
        verified: false,
    }
}

async fn ask(
    answers: Answers,
    base: Option<&str>,
    push: Option<PlannedPush>,
) -> (Preflight, Vec<String>) {
    let peer = Peer::start(answers).await;
    let client = Client::start(config(&peer.url)).await;
    let asked = ForgePreflight {
        repository: repository(),
        base: base.map(str::to_owned),
        push,
    };
    let seen = client.pipeline("preflight", &asked).await.unwrap();
    (seen, peer.asked())
}

/// What is said of a push under one rule of a ruleset that binds.
async fn under(kind: &str, parameters: &Value, push: PlannedPush) -> Preflight {
    let answers = answers([
        (RULES_OF_OURS, 200, json!([rule(kind, parameters)])),
        (RULESET, 200, ruleset("never")),
    ]);
    ask(answers, None, Some(push)).await.0
}

/// What comes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    Refused,
    Warned,
    Nothing,
}
use Comes::{Nothing, Refused, Warned};

fn comes(seen: &Preflight) -> Comes {
    match (seen.can_push, seen.warnings.is_empty()) {
        (false, false) => Refused,
        (true, false) => Warned,
        (true, true) => Nothing,
        (false, true) => panic!("nobody says why: {seen:?}"),
    }
}

#[tokio::test]
async fn each_rule_means_what_it_means_to_a_new_branch_a_growing_one_and_verified_commits() {
    let pattern = |operator: &str, pattern: &str| json!({"operator": operator, "pattern": pattern});
    let not = |operator: &str, pattern: &str| json!({"operator": operator, "pattern": pattern, "negate": true});
    let let_in =
        json!({"do_not_enforce_on_create": true, "required_status_checks": [{"context": "a"}]});
    let checked = json!({"required_status_checks": [{"context": "a"}]});
    let none = Value::Null;
    let table: [(&str, Value, [Comes; 3]); 27] = [
        ("creation", none.clone(), [Refused, Nothing, Refused]),
        ("update", none.clone(), [Warned, Refused, Refused]),
        ("deletion", none.clone(), [Nothing; 3]),
        ("non_fast_forward", none.clone(), [Nothing; 3]),
        ("required_linear_history", none.clone(), [Nothing; 3]),
        (
            "required_signatures",
            none.clone(),
            [Refused, Refused, Nothing],
        ),
        ("pull_request", json!({}), [Warned, Refused, Warned]),
        ("required_status_checks", checked, [Warned; 3]),
        ("required_status_checks", let_in, [Nothing, Warned, Warned]),
        ("merge_queue", json!({}), [Warned; 3]),
        (
            "branch_name_pattern",
            pattern("starts_with", "pullwright/"),
            [Nothing; 3],
        ),
        (
            "branch_name_pattern",
            pattern("starts_with", "feature/"),
            [Refused, Nothing, Refused],
        ),
        (
            "branch_name_pattern",
            not("contains", "fix"),
            [Refused, Nothing, Refused],
        ),
        (
            "branch_name_pattern",
            pattern("regex", r"^[a-z]+/.*-\d+$"),
            [Nothing; 3],
        ),
        (
            "branch_name_pattern",
            pattern("regex", r"^\d"),
            [Refused, Nothing, Refused],
        ),
        (
            "branch_name_pattern",
            pattern("regex", "(?<!x)y"),
            [Warned, Nothing, Warned],
        ),
        ("branch_name_pattern", json!("nonsense"), [Nothing; 3]),
        (
            "commit_author_email_pattern",
            pattern("ends_with", "@octo.example"),
            [Refused, Refused, Warned],
        ),
        (
            "committer_email_pattern",
            pattern("ends_with", ".example"),
            [Nothing, Nothing, Warned],
        ),
        (
            "commit_message_pattern",
            pattern("starts_with", "JIRA-"),
            [Warned; 3],
        ),
        (
            "file_path_restriction",
            json!({"restricted_file_paths": ["a/**"]}),
            [Warned; 3],
        ),
        (
            "file_path_restriction",
            json!({"restricted_file_paths": []}),
            [Nothing; 3],
        ),
        (
            "file_extension_restriction",
            json!({"restricted_file_extensions": ["*.exe"]}),
            [Warned; 3],
        ),
        ("max_file_size", json!({"max_file_size": 5}), [Warned; 3]),
        (
            "max_file_path_length",
            json!({"max_file_path_length": 5}),
            [Warned; 3],
        ),
        ("tag_name_pattern", pattern("contains", "v"), [Nothing; 3]),
        ("brand_new", json!([1, {"a": null}]), [Nothing; 3]),
    ];
    for (kind, parameters, expected) in table {
        let grows = PlannedPush {
            grows: true,
            ..push()
        };
        let verified = PlannedPush {
            verified: true,
            ..push()
        };
        let mut came = Vec::new();
        for push in [push(), grows, verified] {
            came.push(comes(&under(kind, &parameters, push).await));
        }
        assert_eq!(came, expected, "{kind} {parameters}");
    }
    let merges = PlannedPush {
        merges: true,
        ..push()
    };
    let seen = under("required_linear_history", &none, merges).await;
    assert_eq!(comes(&seen), Warned);
}

#[tokio::test]
async fn a_ruleset_binds_whom_it_does_not_let_bypass() {
    let rules = || json!([rule("creation", &Value::Null)]);
    let without = {
        let mut ruleset = ruleset("never");
        ruleset
            .as_object_mut()
            .unwrap()
            .remove("current_user_can_bypass");
        ruleset
    };
    let gone = json!({"message": "Not Found"});
    for (status, ruleset, expected) in [
        (200, ruleset("never"), Refused),
        (200, ruleset("pull_requests_only"), Refused),
        (200, ruleset("always"), Nothing),
        (200, ruleset("exempt"), Nothing),
        (200, without, Warned),
        (404, gone, Warned),
        (
            403,
            json!({"message": "Resource not accessible by integration"}),
            Warned,
        ),
    ] {
        let told = ruleset.to_string();
        let answers = answers([(RULES_OF_OURS, 200, rules()), (RULESET, status, ruleset)]);
        let (seen, _) = ask(answers, None, Some(push())).await;
        assert_eq!(comes(&seen), expected, "{told}: {seen:?}");
        assert_eq!(seen.why_no_push.is_some(), expected == Refused, "{seen:?}");
    }
}

#[tokio::test]
async fn what_github_sends_becomes_a_sentence_for_each_ruleset() {
    let bodies = bodies();
    let mut of_the_organisation = bodies["ruleset"].clone();
    of_the_organisation["name"] = json!("Pushes");
    let answers = answers([
        (RULES_OF_OURS, 200, bodies["rules"].clone()),
        (RULES_OF_BASE, 200, bodies["rules"].clone()),
        (BASE, 200, json!({"name": "trunk", "protected": true})),
        (RULESET, 200, bodies["ruleset"].clone()),
        (
            "/repos/octo/demo/rulesets/73",
            200,
            of_the_organisation.clone(),
        ),
        ("/repos/octo/demo/rulesets/91", 200, of_the_organisation),
    ]);
    let (seen, _) = ask(answers, None, Some(push())).await;
    insta::assert_snapshot!(format!(
        "{}\n\nto merge: {}\n",
        seen.warnings.join("\n\n"),
        seen.merge_needs.join(", ")
    ));
}

/// Names come from whoever sets the rules.
#[tokio::test]
async fn where_a_ruleset_is_from_is_told_on_one_short_line() {
    let mut rule = rule("creation", &Value::Null);
    rule["ruleset_source"] = json!(format!("a\n`{}", "x".repeat(5000)));
    let answers = answers([
        (RULES_OF_OURS, 200, json!([rule])),
        (RULESET, 200, ruleset("never")),
    ]);
    let (seen, _) = ask(answers, None, Some(push())).await;
    let said = seen.why_no_push.unwrap();
    assert!(
        said.contains(" of axxx") && said.contains("x… refuses the push"),
        "{said}"
    );
}

#[tokio::test]
async fn all_pages_are_read() {
    let many: Value = (0..100).map(|_| rule("deletion", &Value::Null)).collect();
    let first = format!("{RULES_OF_OURS}?per_page=100&page=1");
    let second = format!("{RULES_OF_OURS}?per_page=100&page=2");
    let answers = answers([
        (&first, 200, many),
        (&second, 200, json!([rule("creation", &Value::Null)])),
        (RULESET, 200, ruleset("never")),
    ]);
    let (seen, _) = ask(answers, None, Some(push())).await;
    assert_eq!(comes(&seen), Refused);
}

#[tokio::test]
async fn a_base_is_the_one_that_was_asked_for_or_the_default_branch() {
    let reviewed = json!([rule(
        "pull_request",
        &json!({"required_approving_review_count": 1})
    )]);
    let protected = json!({"name": "1.x", "protected": true, "required_approving_review_count": 3,
        "protection": {"enabled": true, "required_status_checks": {"contexts": ["ci"], "enforcement_level": "everyone"}}});
    let there = || {
        answers([
            (RULES_OF_BASE, 200, reviewed.clone()),
            (BASE, 200, json!({"name": "trunk", "protected": true})),
            ("/repos/octo/demo/rules/branches/1.x", 200, json!([])),
            ("/repos/octo/demo/branches/1.x", 200, protected.clone()),
            (
                "/repos/octo/demo/rules/branches/gone",
                200,
                reviewed.clone(),
            ),
            (
                "/repos/octo/demo/branches/free",
                200,
                json!({"name": "free", "protected": false}),
            ),
        ])
    };
    let of_1_x = [
        "3 approving reviews",
        "the check `ci`",
        "what its branch protection asks for",
    ];
    for (base, expected) in [
        (None, &["an approving review"][..]),
        (Some("trunk"), &["an approving review"]),
        (Some("1.x"), &of_1_x),
        (Some("gone"), &[]),
        (Some("free"), &[]),
    ] {
        let (seen, _) = ask(there(), base, None).await;
        assert_eq!(seen.merge_needs, expected, "{base:?}");
        assert!(seen.can_push && seen.warnings.is_empty(), "{seen:?}");
    }
}

#[tokio::test]
async fn a_base_that_takes_signed_commits_is_a_warning_where_ours_are_not() {
    let signed = json!([rule("required_signatures", &Value::Null)]);
    let branch = json!({"name": "trunk", "protected": true});
    let there = || {
        answers([
            (RULES_OF_BASE, 200, signed.clone()),
            (BASE, 200, branch.clone()),
        ])
    };
    let verified = PlannedPush {
        verified: true,
        ..push()
    };
    for (push, expected) in [(push(), 1), (verified, 0)] {
        let (seen, _) = ask(there(), None, Some(push)).await;
        assert!(seen.can_push, "{seen:?}");
        assert_eq!(seen.merge_needs, ["signed commits"]);
        assert_eq!(seen.warnings.len(), expected, "{seen:?}");
    }
}

#[tokio::test]
async fn what_github_does_not_say_changes_nothing() {
    let (expected, _) = ask(answers([]), None, None).await;
    assert!(expected.can_push && expected.warnings.is_empty());
    for (status, body) in [
        (
            403,
            json!({"message": "Upgrade to GitHub Pro or make this repository public to enable this feature."}),
        ),
        (
            403,
            json!({"message": "You have exceeded a secondary rate limit"}),
        ),
        (404, json!({"message": "Not Found"})),
        (500, json!({"message": "Server Error"})),
        (502, json!("<html>")),
        (200, json!({"not": "a list"})),
        (200, json!(["no rule", 7, {"kind": "creation"}])),
        (
            200,
            json!([{"type": "branch_name_pattern", "parameters": {"operator": 5}}]),
        ),
    ] {
        let answers = answers([
            (RULES_OF_OURS, status, body.clone()),
            (RULES_OF_BASE, status, body.clone()),
            (BASE, status, body.clone()),
        ]);
        let (seen, asked) = ask(answers, None, Some(push())).await;
        assert_eq!(seen, expected, "{status} {body}");
        let of_ours = asked.iter().filter(|path| *path == RULES_OF_OURS);
        assert!(of_ours.count() <= 1, "it is asked again: {asked:?}");
    }
}

/// It holds for the account, so the next call is not sent: it is told how long to wait, as GitHub said.
#[tokio::test]
async fn a_limit_that_a_look_up_meets_holds_no_longer_than_github_asks() {
    let message = "You have exceeded a secondary rate limit";
    let limited = |seconds: u64| json!({"message": message, RETRY_AFTER: seconds});
    let asked = ForgePreflight {
        repository: repository(),
        base: None,
        push: None,
    };
    let times_asked = |peer: &Peer| peer.asked().iter().filter(|path| *path == DEMO).count();

    let peer = Peer::start(answers([(RULES_OF_BASE, 403, limited(600))])).await;
    let client = Client::start(config(&peer.url)).await;
    let seen: Preflight = client.pipeline("preflight", &asked).await.unwrap();
    assert!(seen.can_push);
    let held = client.call("preflight", &asked, None).await;
    assert_eq!(held.is_error, Some(true));
    let later: ForgeLater = serde_json::from_value(held.structured_content.unwrap()).unwrap();
    assert!((1..=600_000).contains(&later.retry_after_ms), "{later:?}");
    assert_eq!(times_asked(&peer), 1);

    // So short a limit the call waits for by itself.
    let peer = Peer::start(answers([(RULES_OF_BASE, 403, limited(1))])).await;
    let client = Client::start(config(&peer.url)).await;
    for _ in 0..2 {
        let seen: Preflight = client.pipeline("preflight", &asked).await.unwrap();
        assert!(seen.can_push);
    }
    assert_eq!(times_asked(&peer), 2);
}

#[tokio::test]
async fn nobody_asks_for_the_rules_of_what_is_not_pushed() {
    let (_, asked) = ask(answers([]), None, None).await;
    assert!(!asked.iter().any(|path| path == RULES_OF_OURS), "{asked:?}");
    let mut reader = demo();
    reader["permissions"]["push"] = json!(false);
    let read_only = answers([("/repos/octo/demo", 200, reader)]);
    let (seen, asked) = ask(read_only, None, Some(push())).await;
    assert!(!seen.can_push, "{seen:?}");
    assert!(!asked.iter().any(|path| path == RULES_OF_OURS), "{asked:?}");
    let mut archived = demo();
    archived["archived"] = json!(true);
    let archived = answers([("/repos/octo/demo", 200, archived)]);
    let (_, asked) = ask(archived, None, Some(push())).await;
    assert_eq!(asked, ["/repos/octo/demo"]);
}

#[tokio::test]
async fn a_branch_that_would_leave_its_place_in_the_path_is_not_asked_for() {
    for odd in ["..", ".", "", "a b"] {
        let push = PlannedPush {
            branch: odd.to_owned(),
            ..push()
        };
        let (seen, asked) = ask(answers([]), Some(odd), Some(push)).await;
        assert!(seen.can_push, "{seen:?}");
        assert_eq!(asked, ["/repos/octo/demo"], "{odd:?}");
    }
    let (_, asked) = ask(answers([]), Some("a/../b?c#d"), None).await;
    assert!(
        asked
            .iter()
            .any(|path| path.ends_with("/branches/a%2F..%2Fb%3Fc%23d")),
        "{asked:?}"
    );
}
