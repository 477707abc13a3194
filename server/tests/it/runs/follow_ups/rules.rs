//! The rules of a GitHub's branches: what they say before the work begins, and what becomes of the run.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::office::Office;
use super::proposals::{fork_branches, told};
use super::{CHECKS, TWICE, twice_if_told};

const GREET: &str = crate::runs::lab::GREET;

#[derive(Default)]
struct Set {
    /// The rules of `main`, and of all other branches.
    of_main: Vec<Value>,
    of_others: Vec<Value>,
    /// Whether the token may bypass the ruleset, if the server says so.
    bypass: Option<&'static str>,
}

/// That part of a GitHub.
#[derive(Clone)]
pub(crate) struct Rules(Arc<watch::Sender<Set>>);

impl Default for Rules {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Set::default())))
    }
}

impl Rules {
    pub(crate) fn router(&self) -> Router {
        let at = |rest: &str| format!("/repos/{{owner}}/{{name}}{rest}");
        Router::new()
            .route(&at("/rules/branches/{branch}"), get(rules))
            .route(&at("/branches/{branch}"), get(branch))
            .route(&at("/rulesets/{id}"), get(ruleset))
            .with_state(Arc::clone(&self.0))
    }

    /// Has all branches but `main` come under this rule, which the token may or may not bypass.
    pub(crate) fn rule_others(&self, kind: &str, parameters: Value, bypass: Option<&'static str>) {
        self.0.send_modify(|set| {
            set.of_others = vec![rule(kind, parameters)];
            set.bypass = bypass;
        });
    }

    fn rule_main(&self, kind: &str, parameters: Value) {
        self.0
            .send_modify(|set| set.of_main.push(rule(kind, parameters)));
    }
}

fn rule(kind: &str, parameters: Value) -> Value {
    json!({
        "type": kind, "parameters": parameters, "ruleset_id": 42, "ruleset_source": "owner/project",
        "ruleset_source_type": "Repository",
    })
}

async fn rules(
    State(set): State<Arc<watch::Sender<Set>>>,
    Path((_, _, branch)): Path<(String, String, String)>,
) -> Json<Vec<Value>> {
    let set = set.borrow();
    Json(match &*branch {
        "main" => set.of_main.clone(),
        _ => set.of_others.clone(),
    })
}

/// As if nobody protected it in the older way.
async fn branch(Path((_, _, branch)): Path<(String, String, String)>) -> Json<Value> {
    Json(json!({ "name": branch, "protected": true, "protection": { "enabled": false } }))
}

async fn ruleset(State(set): State<Arc<watch::Sender<Set>>>) -> (StatusCode, Json<Value>) {
    let mut ruleset = json!({
        "id": 42, "name": "Guard", "source": "owner/project", "source_type": "Repository",
        "target": "branch", "enforcement": "active",
    });
    if let Some(bypass) = set.borrow().bypass {
        ruleset["current_user_can_bypass"] = json!(bypass);
    }
    (StatusCode::OK, Json(ruleset))
}

/// Whether the words are told before the model is asked.
fn is_told_first(stream: &str, words: &str) {
    let said = told(stream, words).unwrap_or_else(|| panic!("{words}: {stream}"));
    let started = told(stream, "starts to work").expect(stream);
    assert!(stream.find(said) < stream.find(started), "{stream}");
}

const REFUSES: &str =
    "the ruleset `Guard` of owner/project refuses the push to pullwright/greet-shortly-";

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_a_rule_forbids_is_proposed_from_a_fork() {
    let office = Office::with_github(GREET, CHECKS).await;
    let rules = &office.github().rules;
    rules.rule_others("creation", Value::Null, Some("never"));
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    is_told_first(&stream, REFUSES);
    is_told_first(&stream, "will be proposed from the fork robot/project");
    assert_eq!(office.branches(), [""; 0]);
    assert_eq!(fork_branches(&office).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_a_branch_is_wanted_the_patch_is_what_is_left() {
    let office = Office::with_github(GREET, CHECKS).await;
    let feature = json!({"operator": "starts_with", "pattern": "feature/", "negate": false});
    let rules = &office.github().rules;
    rules.rule_others("branch_name_pattern", feature, Some("pull_requests_only"));
    let run = office.start(json!({ "publish": "branch" })).await;
    let stream = office.ends(&run, "patch only").await;
    is_told_first(&stream, "this run cannot push");
    let done = told(&stream, "\"type\":\"Done\"").expect(&stream);
    assert!(done.contains("start with `feature/`"), "{done}");
    // Whoever asks for such a branch gets it.
    let asked = json!({ "publish": "branch", "branch": "feature/greet" });
    let run = office.start(asked).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(!stream.contains("Guard"), "{stream}");
    assert_eq!(office.branch(), "feature/greet");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_bypass_a_rule_does_not_hear_of_it() {
    let office = Office::with_github(GREET, CHECKS).await;
    let rules = &office.github().rules;
    rules.rule_others("creation", Value::Null, Some("always"));
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(!stream.contains("Guard"), "{stream}");
}

/// An older server does not say who may bypass.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_refuse_is_a_warning_and_no_more() {
    let office = Office::with_github(GREET, CHECKS).await;
    office
        .github()
        .rules
        .rule_others("required_signatures", Value::Null, None);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    is_told_first(
        &stream,
        "the ruleset `Guard` of owner/project may refuse the push",
    );
    is_told_first(&stream, "turn on verified commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_merge_needs_is_told_before_the_work() {
    let office = Office::with_github(GREET, CHECKS).await;
    let rules = &office.github().rules;
    rules.rule_main(
        "pull_request",
        json!({"required_approving_review_count": 2}),
    );
    let build = json!({"required_status_checks": [{"context": "build"}]});
    rules.rule_main("required_status_checks", build);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    is_told_first(
        &stream,
        "to be merged into main, the change will need 2 approving reviews and the check `build`",
    );
}

/// A run that follows pushes one more commit to the branch that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_grows_is_asked_for_as_one() {
    let office = Office::with_github(TWICE, CHECKS).await;
    let run = office.run("pull request").await;
    office.github().lets_fork(false);
    let rules = &office.github().rules;
    rules.rule_others("update", Value::Null, Some("never"));
    let follower = office.begin_to_follow(&run, "and say it twice").await;
    let stream = office.ends(&follower, "patch only").await;
    is_told_first(&stream, REFUSES);
    assert_eq!(office.commits(&office.branch()), ["Greet shortly"]);
}

/// The rule is one against more commits on the branch that was merged.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_merge_it_is_the_new_branch_that_is_asked_for() {
    let (office, run) = merged().await;
    let rules = &office.github().rules;
    rules.rule_others("update", Value::Null, Some("never"));
    let follower = office.begin_to_follow(&run, "and say it twice").await;
    let stream = office.ends(&follower, "pull request").await;
    assert!(
        !stream.contains("Guard` of owner/project refuses"),
        "{stream}"
    );
    assert_eq!(office.github().forks_made(), 0);
    assert_eq!(office.branches().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_merge_what_forbids_new_branches_is_told_before_the_work() {
    let (office, run) = merged().await;
    office.github().lets_fork(false);
    let rules = &office.github().rules;
    rules.rule_others("creation", Value::Null, Some("never"));
    let follower = office.begin_to_follow(&run, "and say it twice").await;
    let stream = office.ends(&follower, "patch only").await;
    is_told_first(&stream, "refuses the push to pullwright/and-say-it-twice-");
    assert_eq!(office.branches().len(), 1);
}

/// A run whose pull request is merged.
async fn merged() -> (Office, String) {
    let script = twice_if_told("is not open any more");
    let script = script.replace("old_str = \"hi\"", "old_str = \"hello\"");
    let office = Office::with_github(&script, CHECKS).await;
    let run = office.run("pull request").await;
    office.github().merge();
    (office, run)
}

/// A token that lacks the scope, and a policy that lets the model change what needs it.
#[tokio::test(flavor = "multi_thread")]
async fn that_workflows_cannot_be_pushed_is_told_before_the_work() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "write", arguments = { path = ".github/workflows/ci.yml", content = "on: push\n" } } }]
[[replies]]
steps = [{ text = "Build on each push" }]
"#;
    let policy = "[policy]\nallow = [\".github/workflows/**\"]\n";
    let office = Office::with_github(script, &format!("{CHECKS}{policy}")).await;
    office.github().says_scopes("repo");
    refuse_pushes(
        &office,
        "refusing to allow a Personal Access Token to create or update workflow without workflow scope",
    );
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "patch only").await;
    is_told_first(&stream, "has not the scope `workflow`: add it");
    let done = told(&stream, "\"type\":\"Done\"").expect(&stream);
    assert!(done.contains("right to push workflows"), "{done}");
    assert!(
        office
            .get_text(&format!("/v1/runs/{run}/patch"))
            .await
            .contains("ci.yml")
    );
}

/// Rules that nobody could know of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_a_rule_refuses_all_the_same_leaves_the_patch_and_the_words() {
    let office = Office::with_github(GREET, CHECKS).await;
    refuse_pushes(
        &office,
        "error: GH013: Repository rule violations found for refs/heads/x.\n\n- Commits must have verified signatures.",
    );
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "patch only").await;
    let done = told(&stream, "\"type\":\"Done\"").expect(&stream);
    for words in [
        "GH013",
        "Commits must have verified signatures",
        "the patch is kept",
    ] {
        assert!(done.contains(words), "{words}: {done}");
    }
    assert_eq!(office.branches(), [""; 0]);
    assert!(office.github().pulls().is_empty());
    assert!(
        office
            .get_text(&format!("/v1/runs/{run}/patch"))
            .await
            .contains("+hi")
    );
}

/// Has the remote take nothing, in these words.
fn refuse_pushes(office: &Office, words: &str) {
    let hook = office.desk.remote.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().expect("a folder")).expect("make it");
    let script = format!("#!/bin/sh\ncat >&2 <<'END'\n{words}\nEND\nexit 1\n");
    std::fs::write(&hook, script).expect("write a hook");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}
