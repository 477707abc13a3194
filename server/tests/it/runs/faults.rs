//! Faults of the model and its provider.

use pullwright_protocol::{Event, LoggedEvent, RunUsage};
use serde_json::json;

use super::lab::{GREET, Lab, Plan, Played};

const EDIT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "read", arguments = { path = "src/greeting.txt" } } }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
"#;

async fn after_edit(replies: &str) -> (Lab, Played) {
    let script = format!("{EDIT}{replies}");
    let lab = Lab::start(Plan {
        script: &script,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    (lab, played)
}

/// The run failed so, pushed nothing, and kept its work as a patch that applies.
async fn keeps_its_patch(lab: &Lab, played: &Played, outcome: &str) {
    played.ended(outcome);
    assert_eq!(lab.branches(), [""; 0]);
    let clone = lab.applied(&played.id).await;
    let greeting = std::fs::read_to_string(clone.join("src/greeting.txt"));
    assert_eq!(greeting.expect("the file"), "hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_fault_keeps_the_patch() {
    for (fault, kind) in [
        ("invalid_request", "provider_request"),
        ("auth", "provider_auth"),
        ("budget", "provider_budget"),
        ("context_overflow", "context_overflow"),
    ] {
        let reply = format!("[[replies]]\nsteps = [{{ fault = {{ kind = \"{fault}\" }} }}]");
        let (lab, played) = after_edit(&reply).await;
        keeps_its_patch(&lab, &played, &format!("failed({kind})")).await;
        let errors = played.of("Error");
        assert_eq!(errors.last().expect("an error")["retrying"], false);
        assert_eq!(errors.last().expect("an error")["kind"], kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_is_tried_again() {
    let (lab, played) = after_edit(
        r#"
[[replies]]
steps = [
  { text = "Greet sh" },
  { fault = { kind = "overloaded", attempts = 2, retry_after_ms = 1 } },
  { text = "Greet shortly" },
]
"#,
    )
    .await;
    played.ended("branch only");
    let errors = played.of("Error");
    let errors: Vec<_> = errors
        .iter()
        .map(|error| {
            (
                error["kind"].as_str(),
                error["retrying"].as_bool(),
                error["attempt"].as_u64(),
            )
        })
        .collect();
    let overloaded = |attempt| (Some("overloaded"), Some(true), Some(attempt));
    assert_eq!(errors, [overloaded(1), overloaded(2)]);
    assert_eq!(lab.pushed_file("src/greeting.txt"), "hi\n");
    // What the failed attempts wrote is not said again.
    let whole = played.of("AI Message");
    let whole: Vec<_> = whole
        .iter()
        .filter_map(|frame| frame["message"].as_str())
        .collect();
    assert_eq!(whole, ["Greet sh", "Greet shortly"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_tried_again_and_then_given_up() {
    let (lab, played) = after_edit(
        "[[replies]]\nsteps = [{ text = \"Half a\" }, { fault = { kind = \"cut_stream\", \
         retry_after_ms = 1 } }]",
    )
    .await;
    keeps_its_patch(&lab, &played, "failed(transport)").await;
    let errors = played.of("Error");
    let retrying = errors.iter().filter(|error| error["retrying"] == true);
    assert_eq!(retrying.count(), 4);
    assert!(played.of("AI Message").is_empty(), "{}", played.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_replies_are_answered_and_bounded() {
    let (lab, played) = after_edit(&"[[replies]]\nsteps = [{ text = \" \" }]\n".repeat(5)).await;
    keeps_its_patch(&lab, &played, "failed(malformed_reply)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_reply_is_told_so() {
    let (_lab, played) = after_edit(
        r#"
[[replies]]
steps = [{ text = " " }]
[[replies]]
expect = { user_contains = ["Your reply was empty"] }
steps = [{ text = "Greet shortly" }]
"#,
    )
    .await;
    played.ended("branch only");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_are_answered_with_what_was_wrong() {
    let (_lab, played) = after_edit(
        r#"
[[replies]]
steps = [{ tool_call = { name = "read", arguments = "{\"path\": " } }]
[[replies]]
expect = { results_are_errors = true, results_contain = ["not a JSON object"] }
steps = [{ tool_call = { name = "raed", arguments = { path = "README.md" } } }]
[[replies]]
expect = { results_are_errors = true, results_contain = ["the nearest is `read`"] }
steps = [{ tool_call = { name = "read", arguments = { path = 7 } } }]
[[replies]]
expect = { results_are_errors = true }
steps = [{ tool_call = { name = "read", arguments = { path = "../../etc/passwd" } } }]
[[replies]]
expect = { results_are_errors = true, results_lack = ["root:"] }
steps = [{ text = "Greet shortly" }]
"#,
    )
    .await;
    played.ended("branch only");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_stay_bad_are_answered_and_bounded() {
    let call = r#"{ tool_call = { name = "read", arguments = "{\"path\": " } }"#;
    let replies = format!("[[replies]]\nsteps = [{call}, {call}]\n").repeat(5);
    let (lab, played) = after_edit(&replies).await;
    keeps_its_patch(&lab, &played, "failed(malformed_reply)").await;
    assert_eq!(played.of("Tool: read").len(), 2 * 4, "{}", played.text);
}

/// Half of a call may look like a whole one.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_cut_off_by_the_token_limit_is_not_run() {
    for arguments in [r#""""#, "{}", r#""{\"path\": \"src""#] {
        let replies = format!(
            r#"
[[replies]]
stop = "max_tokens"
steps = [
  {{ tool_call = {{ name = "read", arguments = {{ path = "README.md" }} }} }},
  {{ tool_call = {{ name = "list", arguments = {arguments} }} }},
]
[[replies]]
expect = {{ results_contain = ["cut off inside of this call"] }}
steps = [{{ text = "Greet shortly" }}]
"#
        );
        let (_lab, played) = after_edit(&replies).await;
        played.ended("branch only");
        let reads = played.of("Tool: Read");
        assert!(
            reads.iter().all(|read| read["isError"] == false),
            "{}",
            played.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ends_too_early_is_a_final_fault() {
    let (lab, played) = after_edit("").await;
    keeps_its_patch(&lab, &played, "failed(provider_request)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_provider_hands_over_to_the_fallback() {
    // Its replies are chosen by the turns so far, so the first two are never asked for.
    let second = "[[replies]]\nsteps = [\"hang\"]\n[[replies]]\nsteps = [\"hang\"]\n\
                  [[replies]]\nexpect = { results_contain = [\"greeting.txt\"] }\n\
                  steps = [{ text = \"Greet shortly\" }]\n";
    let script = format!("{EDIT}[[replies]]\nsteps = [{{ fault = {{ kind = \"budget\" }} }}]\n");
    let lab = Lab::start(Plan {
        script: &script,
        config: "[agent]\nprovider = \"script\"\nfallback = [\"second\"]\n\
                 [providers.second]\nwire_api = \"scripted\"\nscript = \"second.toml\"\n",
        beside: &[("second.toml", second)],
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "hi\n");
    let events = lab.events(&played.id).await;
    let changed = events
        .iter()
        .filter(|logged| matches!(&logged.event, Event::ProviderChanged { provenance, .. } if provenance.provider == "second"));
    assert_eq!(changed.count(), 1);
}

/// What a provider did to a conversation is no fault, but whoever reads the run should know.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_the_provider_is_told_once() {
    let notice = "parts of the conversation were left out";
    let reply = |text: &str| {
        format!("[[replies]]\nsteps = [{{ notice = \"{notice}\" }}, {{ text = \"{text}\" }}]\n")
    };
    let call = "[[replies]]\nsteps = [{ notice = \"parts of the conversation were left out\" }, { tool_call = { name = \"read\", arguments = { path = \"src/greeting.txt\" } } }]\n";
    let script = format!("{call}{}", reply("That is all."));
    let lab = Lab::start(Plan {
        script: &script,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    let told = played.of("Status");
    let told: Vec<_> = told
        .iter()
        .filter(|status| status["message"] == notice)
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["stage"], "work");
}

/// A budget must not stand still because a service does not say what a reply used.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_does_not_say_of_its_use_is_estimated() {
    let prices =
        "prices = { input = 10.0, cached_input = 1.0, cache_write = 12.0, output = 10.0 }\n";
    let lab = Lab::start(Plan {
        script: &format!("{prices}{GREET}"),
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    let usage = &played.frames.last().unwrap()["usage"];
    assert!(usage["usd"].as_f64() > Some(0.0), "{usage}");
    assert!(usage["inputTokens"].as_u64() > Some(100), "{usage}");
}

/// Whoever goes on with the run counts it too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_attempt_cost_is_in_the_log() {
    let (lab, played) = after_edit(
        r#"
[[replies]]
steps = [
  { usage = { input_tokens = 30, output_tokens = 5 } },
  { fault = { kind = "overloaded", attempts = 2, retry_after_ms = 1 } },
  { text = "Greet shortly" },
]
"#,
    )
    .await;
    played.ended("branch only");
    let usage = &played.done()["usage"];
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"]),
        (&json!(90), &json!(15))
    );
    let mut spent = RunUsage::default();
    let events = lab.events(&played.id).await;
    events.iter().for_each(|logged| spent.note(&logged.event));
    assert_eq!(serde_json::to_value(spent).expect("JSON"), *usage);
    let lost = |logged: &&LoggedEvent| matches!(logged.event, Event::ReplyLost { .. });
    assert_eq!(events.iter().filter(lost).count(), 2);
    let counted = lab.text("/metrics").await;
    for line in [
        "pullwright_model_tokens_total{provider=\"script\",model=\"scripted\",kind=\"input\"} 90\n",
        "pullwright_model_replies_total{provider=\"script\",model=\"scripted\"} 3\n",
    ] {
        assert!(counted.contains(line), "{counted}");
    }
}
