//! Runs that are ended from outside: cancelled, or out of budget.

use pullwright_protocol::Event;
use serde_json::json;

use super::lab::{self, Lab, Plan, Played, processes_of};

const EDIT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
"#;
const SLEEP: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600 & sleep 600", timeout_sec = 600 } } }]
"#;
const HANG: &str = "[[replies]]\nsteps = [{ text = \"Hm\" }, \"hang\"]\n";

async fn lab(config: &str, replies: &str) -> Lab {
    let script = format!("{EDIT}{replies}");
    Lab::start(Plan {
        script: &script,
        config,
        ..Plan::default()
    })
    .await
}

async fn keeps_its_patch(lab: &Lab, played: &Played) {
    assert_eq!(lab.branches(), [""; 0]);
    assert_eq!(processes_of(&played.id), []);
    let clone = lab.applied(&played.id).await;
    let greeting = std::fs::read_to_string(clone.join("src/greeting.txt"));
    assert_eq!(greeting.expect("the file"), "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_hanging_model_keeps_the_patch() {
    let lab = lab("", HANG).await;
    let (run, stream) = lab.begin().await;
    // Only the reply that hangs has words.
    let hangs = |event: &Event| matches!(event, Event::MessageDelta { .. });
    lab.until(&run, hangs).await;
    lab.cancel(&run).await;
    let played = lab::read(stream).await;
    played.ended("cancelled");
    keeps_its_patch(&lab, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_long_command_kills_it_and_keeps_the_patch() {
    let lab = lab("", SLEEP).await;
    let (run, stream) = lab.begin().await;
    let bash = |event: &Event| matches!(event, Event::ToolStarted { tool, .. } if tool == "bash");
    lab.until(&run, bash).await;
    lab.cancel(&run).await;
    let played = lab::read(stream).await;
    played.ended("cancelled");
    keeps_its_patch(&lab, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cannot_raise_the_turns() {
    let more = EDIT
        .replace("hello", "hi")
        .replace("new_str = \"hi\"", "new_str = \"hey\"");
    let lab = lab("[budget]\nmax_usd = \"none\"\nmax_turns = 1\n", &more).await;
    let played = lab
        .run_with("/code", json!({ "budget": { "maxTurns": 50 } }))
        .await;
    played.ended("budget reached");
    let events = lab.events(&played.id).await;
    let replies = events
        .iter()
        .filter(|logged| matches!(logged.event, Event::ModelReplied { .. }));
    assert_eq!(replies.count(), 1);
    keeps_its_patch(&lab, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_lower_the_turns() {
    let lab = lab("", SLEEP).await;
    let played = lab
        .run_with("/code", json!({ "budget": { "maxTurns": 1 } }))
        .await;
    played.ended("budget reached");
    keeps_its_patch(&lab, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_over_in_a_long_command_kills_it_and_keeps_the_patch() {
    let lab = lab("[budget]\nmax_usd = \"none\"\nmax_minutes = 0.15\n", SLEEP).await;
    let played = lab
        .run_with("/code", json!({ "budget": { "maxMinutes": 60.0 } }))
        .await;
    played.ended("budget reached");
    keeps_its_patch(&lab, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_over_in_a_hanging_setup_ends_the_run() {
    let config =
        "[budget]\nmax_usd = \"none\"\nmax_minutes = 0.05\n[setup]\nrun = [\"sleep 600\"]\n";
    let lab = lab(config, "").await;
    let played = lab.run().await;
    played.ended("budget reached");
    assert_eq!(lab.patch(&played.id).await, None);
    assert_eq!(processes_of(&played.id), []);
}
