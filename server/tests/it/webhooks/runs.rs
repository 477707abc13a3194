//! A word on the code host becomes a change, once, and people are told.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::sender::{self, Delivery};
use crate::runs::follow_ups::github::Github;
use crate::runs::follow_ups::office::Office;
use crate::runs::lab::in_time;

/// A model that makes one edit for the issue, and another one when it is told more.
const TWICE: &str = r#"
[[replies]]
expect = { user_contains = ["Resolve issue #5 of owner/project, as @ann asks.", "> Say hi instead."] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly\n\nOne word. cc @everyone" }]
[[replies]]
expect = { user_contains = ["@bob", "> @pullwright say it twice"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Greet twice\n\nAs asked." }]
"#;

/// The id of the run that a comment tells of.
pub(super) fn run_of(comment: &str) -> String {
    let id = comment
        .split("Run `")
        .nth(1)
        .and_then(|rest| rest.split('`').next());
    id.unwrap_or_else(|| panic!("{comment}")).to_owned()
}

pub(super) async fn office(script: &str, keys: &str) -> Office {
    let office = Office::with_github(script, &sender::section(keys)).await;
    github(&office).talk.permit("ann", "admin");
    github(&office).talk.permit("bob", "write");
    github(&office).talk.permit("eve", "read");
    office
}

pub(super) fn github(office: &Office) -> &Github {
    office.github.as_ref().expect("a GitHub")
}

/// Brings a delivery, and answers what became of it.
pub(super) async fn deliver(office: &Office, delivery: &Delivery) -> Value {
    let answer = in_time(delivery.request(office.address()).send()).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

pub(super) async fn runs(office: &Office) -> Vec<Value> {
    let page = office.get("/v1/runs").await;
    page["runs"].as_array().expect("runs").clone()
}

/// Waits until something is in the record of what was done.
pub(super) async fn until_recorded(office: &Office, part: &str) {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    in_time(async {
        while !office.get("/v1/audit").await.to_string().contains(part) {
            pace.tick().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_becomes_a_pull_request_and_a_comment_tells_of_it() {
    let office = office(TWICE, "").await;
    let delivery = Delivery::labeled(&office.repository(), 5, "ann");
    assert_eq!(deliver(&office, &delivery).await["status"], "accepted");
    let told = github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    let run = run_of(&told);
    office.ends(&run, "pull request").await;
    assert!(
        told.starts_with(&format!("<!-- pullwright:run {run} -->\n")),
        "{told}"
    );
    assert!(
        told.contains("One word.") && !told.contains("@everyone"),
        "{told}"
    );
    let record = office.record(&run).await;
    assert_eq!(record["owner"], "webhooks/github");
    assert_eq!(
        record["request"]["origin"],
        json!({ "askedBy": "ann", "thread": 5, "issue": 5 })
    );
    let prompt = record["request"]["prompt"].as_str().expect("a prompt");
    assert!(!prompt.contains("ignore your instructions"), "{prompt}");
    let pulls = github(&office).pulls();
    let body = pulls[0]["body"].as_str().expect("a body");
    assert!(body.contains("Fixes #5. Asked for by @ann."), "{body}");
    for _ in 0..3 {
        assert_eq!(deliver(&office, &delivery).await["status"], "known");
    }
    assert_eq!(runs(&office).await.len(), 1);
    assert_eq!(github(&office).talk.comments(5).len(), 1);
    assert!(
        github(&office).talk.writes() <= 3,
        "{}",
        github(&office).talk.writes()
    );
    until_recorded(&office, "@ann asked for it").await;
}

/// A script has no prices, so that a budget in dollars cannot be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_cost_what_is_written_and_its_failure_is_told() {
    let office = office(TWICE, "max_usd = 5.0").await;
    deliver(&office, &Delivery::labeled(&office.repository(), 5, "ann")).await;
    let told = github(&office)
        .talk
        .until_said(5, "could not finish (config)")
        .await;
    let record = office.record(&run_of(&told)).await;
    assert_eq!(record["request"]["budget"]["maxUsd"], 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_on_its_pull_request_becomes_another_commit_there() {
    let office = office(TWICE, "").await;
    deliver(&office, &Delivery::labeled(&office.repository(), 5, "ann")).await;
    github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    let said = "@pullwright say it twice";
    let mention = Delivery::commented_on_pull(&office.repository(), 1, "bob", said);
    assert_eq!(deliver(&office, &mention).await["status"], "accepted");
    let told = github(&office)
        .talk
        .until_said(1, "has proposed its change in #1")
        .await;
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly", "Greet twice"]);
    assert_eq!(office.greeting(&branch), "hi hi");
    let record = office.record(&run_of(&told)).await;
    assert!(record["request"]["follows"].is_string(), "{record}");
    let pulls = github(&office).pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    let body = pulls[0]["body"].as_str().expect("a body");
    assert!(body.contains("Fixes #5. Asked for by @bob."), "{body}");
    assert_eq!(deliver(&office, &mention).await["status"], "known");
    assert_eq!(runs(&office).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_on_the_issue_goes_to_the_run_that_was_made_for_it() {
    let office = office(TWICE, "").await;
    deliver(&office, &Delivery::labeled(&office.repository(), 5, "ann")).await;
    let first = github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    let said = "@pullwright say it twice";
    deliver(
        &office,
        &Delivery::commented(&office.repository(), 5, "bob", said),
    )
    .await;
    github(&office).talk.until_said(5, "Greet twice").await;
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly", "Greet twice"]);
    assert_eq!(
        github(&office).talk.comments(5)[0],
        first,
        "each run has a comment of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_after_the_answer_loses_nothing() {
    let mut office = office(TWICE, "").await;
    github(&office).talk.is_slow(true);
    let delivery = Delivery::labeled(&office.repository(), 5, "ann");
    let begun = Instant::now();
    assert_eq!(deliver(&office, &delivery).await["status"], "accepted");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "a slow GitHub holds up no answer"
    );
    office.kill_and_serve();
    assert_eq!(deliver(&office, &delivery).await["status"], "known");
    github(&office).talk.is_slow(false);
    github(&office)
        .talk
        .until_said(5, "has proposed its change in #1")
        .await;
    assert_eq!(runs(&office).await.len(), 1);
    assert_eq!(github(&office).pulls().len(), 1);
    assert_eq!(github(&office).talk.comments(5).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_and_a_word_at_the_same_moment_make_one_line_of_runs() {
    let office = office(TWICE, "").await;
    let repository = office.repository();
    github(&office).talk.is_slow(true);
    let word = "@pullwright say it twice";
    for delivery in [
        Delivery::labeled(&repository, 5, "ann"),
        Delivery::commented(&repository, 5, "bob", word),
    ] {
        deliver(&office, &delivery).await;
    }
    github(&office).talk.is_slow(false);
    until_recorded(&office, "@bob").await;
    let runs = runs(&office).await;
    let alone = |run: &&Value| run["request"]["follows"].is_null();
    assert_eq!(runs.iter().filter(alone).count(), 1, "{runs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_comes_too_late_for_a_run_is_heard_by_the_next() {
    let office = office(TWICE, "").await;
    let repository = office.repository();
    let held = hold_pushes(&office);
    deliver(&office, &Delivery::labeled(&repository, 5, "ann")).await;
    let told = github(&office).talk.until_said(5, "publishes").await;
    let word = "@pullwright say it twice";
    deliver(&office, &Delivery::commented(&repository, 5, "bob", word)).await;
    // Deliveries of an issue take turns, so that the word is said by then.
    deliver(&office, &Delivery::commented(&repository, 5, "eve", word)).await;
    until_recorded(&office, "@eve may not write").await;
    std::fs::remove_file(held).expect("let the push go on");
    github(&office).talk.until_said(5, "Greet twice").await;
    let runs = runs(&office).await;
    assert_eq!(runs.len(), 2, "{runs:#?}");
    assert_eq!(runs[0]["request"]["follows"], run_of(&told));
    assert_eq!(github(&office).pulls().len(), 1);
}

/// Has pushes wait until the file that is answered is removed.
fn hold_pushes(office: &Office) -> PathBuf {
    let folder = PathBuf::from(office.git(&["rev-parse", "--absolute-git-dir"]));
    let (held, hook) = (folder.join("held"), folder.join("hooks/pre-receive"));
    std::fs::write(&held, "").expect("hold");
    std::fs::create_dir_all(folder.join("hooks")).expect("make the folder");
    std::fs::write(
        &hook,
        format!(
            "#!/bin/sh\nwhile [ -e {} ]; do sleep 0.1; done\n",
            held.display()
        ),
    )
    .expect("write the hook");
    std::fs::set_permissions(&hook, Permissions::from_mode(0o755)).expect("set the mode");
    held
}
