//! What people say to a model at work.

use pullwright_protocol::Event;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::lab::{Lab, Plan, in_time, read};
use crate::support::http_client;

/// The model is in its first turn when somebody speaks.
const SCRIPT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 1" } } }]
[[replies]]
expect = { user_contains = ["The person who asked for this work says", "say it in French"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "salut" } } }]
[[replies]]
steps = [{ text = "Greet in French" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_model_hears_what_is_said_before_its_next_turn() {
    let lab = Lab::start(Plan {
        script: SCRIPT,
        ..Plan::default()
    })
    .await;
    let (run, stream) = lab.begin().await;
    lab.until(&run, |event| matches!(event, Event::ToolStarted { .. }))
        .await;
    let said = say(&lab.url(), &run.0, json!({ "message": "say it in French" })).await;
    assert_eq!(said.0, StatusCode::ACCEPTED, "{}", said.1);
    let played = read(stream).await;
    played.ended("branch only");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "salut\n");
    let heard = played.text.matches("the model is told: say it in French");
    assert_eq!(heard.count(), 1, "{}", played.text);
}

/// What is said while the last words are written, or while checks run, is not too late.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_during_the_checks_makes_the_model_go_on() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
expect = { user_contains = ["shorter"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "h" } } }]
[[replies]]
steps = [{ text = "Greet with a letter" }]
"#;
    let lab = Lab::start(Plan {
        script,
        config: "[checks]\nrun = [\"sleep 1; touch left-behind\"]\n",
        ..Plan::default()
    })
    .await;
    let (run, stream) = lab.begin().await;
    lab.until(&run, |event| matches!(event, Event::PatchStored { .. }))
        .await;
    let said = say(&lab.url(), &run.0, json!({ "message": "even shorter" })).await;
    assert_eq!(said.0, StatusCode::ACCEPTED, "{}", said.1);
    let played = read(stream).await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "h\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_none_is_refused() {
    let lab = Lab::start(Plan {
        script: "[[replies]]\nsteps = [\"hang\"]\n",
        ..Plan::default()
    })
    .await;
    let (run, _stream) = lab.begin().await;
    for (body, part) in [
        (json!({}), "message"),
        (json!({ "message": " " }), "empty"),
        (json!({ "message": 1 }), "string"),
        (json!({ "message": "x", "to": "y" }), "to"),
        (json!({ "message": "x".repeat(100_001) }), "100000"),
    ] {
        let (status, text) = say(&lab.url(), &run.0, body).await;
        assert!(status.is_client_error(), "{status} {text}");
        assert!(text.contains(part), "{text}");
    }
    let (status, _) = say(&lab.url(), "nobody", json!({ "message": "x" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(lab.store.messages(&run).await.expect("messages"), []);
    lab.cancel(&run).await;
}

/// Says something to a run of the server at `origin`.
pub(super) async fn say(origin: &str, run: &str, body: Value) -> (StatusCode, String) {
    let url = format!("{origin}/v1/runs/{run}/messages");
    let request = http_client()
        .post(url)
        .header("Content-Type", "application/json")
        .body(body.to_string());
    let answer = in_time(request.send()).await.expect("an answer");
    (answer.status(), answer.text().await.expect("a body"))
}
