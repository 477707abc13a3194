//! Conversations that outgrow their model.

use pullwright_protocol::item::joined_text;
use pullwright_protocol::{Content, Event, Item};

use super::lab::{Lab, Played, play};

/// Two long results fill the context; the summary and what follows are said in a conversation anew.
const LONG: &str = r##"
context_tokens = 24000
verify_replay = true
[[replies]]
steps = [
  { thinking = "A long look first." },
  { tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' a" } } },
]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' b; echo the-last-words" } } }]
[[replies]]
expect = { user_contains = ["Write down everything"] }
steps = [
  { text = "NOTES: greet with hi in src/greeting.txt" },
  { usage = { input_tokens = 20500, output_tokens = 20 } },
]
[[episodes]]
user_contains = "NOTES: greet with hi"
[[episodes.replies]]
expect = { user_contains = ["# Task", "the-last-words"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[episodes.replies]]
expect = { results_contain = ["edited"] }
steps = [{ text = "Greet shortly" }]
"##;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_becomes_too_long_goes_on_from_a_summary() {
    let (lab, played) = play(LONG).await;
    played.ended("branch only");
    let told = played.of("Status");
    let told = told.iter().any(|status| {
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("goes on from a summary")
    });
    assert!(told, "the reset is told");
    let resets = resets(&lab, &played).await;
    let [(items, before, after)] = resets.as_slice() else {
        panic!("one reset, not {}", resets.len());
    };
    assert_eq!(items.len(), 2, "the task and the summary: {items:?}");
    assert!(items.iter().all(|item| item.native.is_none()));
    assert!(after < before, "{after} tokens after, {before} before");
}

/// The same, but the provider makes the conversation shorter itself.
const COMPACTED: &str = r##"
context_tokens = 24000
compacts = true
verify_replay = true
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' a" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' b; echo the-last-words" } } }]
[[replies]]
steps = [{ compaction = "opaque" }, { usage = { input_tokens = 20500, output_tokens = 20 } }]
[[episodes]]
user_contains = "starts anew here"
[[episodes.replies]]
expect = { user_contains = ["# Task", "the-last-words"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[episodes.replies]]
steps = [{ text = "Greet shortly" }]
"##;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_can_makes_the_conversation_shorter_itself() {
    let (lab, played) = play(COMPACTED).await;
    played.ended("branch only");
    let resets = resets(&lab, &played).await;
    let [(items, before, after)] = resets.as_slice() else {
        panic!("one reset, not {}", resets.len());
    };
    let [compacted, task, results] = items.as_slice() else {
        panic!("{items:?}");
    };
    let native = compacted.native.as_ref().expect("what the provider said");
    assert!(native.json.as_str().contains("opaque"), "{native:?}");
    assert!(said(task).contains("# Task") && said(results).contains("the-last-words"));
    assert!(after < before, "{after} tokens after, {before} before");
}

/// A call in it would stay without a result.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_can_stand_for_a_conversation_is_taken_from_a_provider() {
    let script = COMPACTED.replace(
        "{ compaction = \"opaque\" }",
        "{ thinking = \"shorter\" }, { compaction = \"opaque\" }, \
         { tool_call = { name = \"bash\", arguments = { command = \"true\" } } }",
    );
    let (lab, played) = play(&script).await;
    played.ended("branch only");
    let resets = resets(&lab, &played).await;
    let (items, ..) = resets.first().unwrap();
    let [compacted, task, _results] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(compacted.content, Content::Opaque);
    assert!(said(task).contains("# Task"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_makes_no_shorter_is_summarised() {
    let long = format!("{:?}", "x".repeat(90_000));
    let is_too_long = COMPACTED.replace("\"opaque\"", &long);
    let cut = "stop = \"max_tokens\"\nsteps = [{ compaction";
    let is_cut = COMPACTED.replace("steps = [{ compaction", cut);
    for script in [is_too_long, is_cut] {
        let (lab, played) = play(&summarised(&script)).await;
        played.ended("branch only");
        let resets = resets(&lab, &played).await;
        is_one_summary(&resets);
    }
}

/// Nobody knows how much the model takes, but it was too much.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_shorter_is_no_way_out_of_an_overflow() {
    let long = format!("{:?}", "x".repeat(90_000));
    let overflow = "steps = [{ fault = { kind = \"context_overflow\" } }, { compaction";
    let script = COMPACTED
        .replace("context_tokens = 24000\n", "")
        .replace("steps = [{ compaction", overflow)
        .replace("\"opaque\"", &long);
    let (lab, played) = play(&summarised(&script)).await;
    played.ended("branch only");
    is_one_summary(&resets(&lab, &played).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_after_all_is_no_end() {
    let refused = LONG.replacen("verify_replay", "compacts", 1).replacen(
        "expect = { user_contains = [\"Write down everything\"] }\n",
        "",
        1,
    );
    let script = format!(
        "{}\n[[episodes]]\nuser_contains = \"Write down everything\"\n{}",
        refused.replacen(
            "  { text = \"NOTES: greet with hi in src/greeting.txt\" },",
            "  { fault = { kind = \"invalid_request\" } },",
            1
        ),
        "[[episodes.replies]]\nsteps = [\"hang\"]\n[[episodes.replies]]\nsteps = [\"hang\"]\n\
         [[episodes.replies]]\nsteps = [{ text = \"NOTES: greet with hi\" }]\n"
    );
    let (_lab, played) = play(&script).await;
    played.ended("branch only");
    let errors = played.of("Error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["retrying"], true);
}

/// An API may know better than the estimate, and even refuse the request for a summary.
#[tokio::test(flavor = "multi_thread")]
async fn an_overflow_that_came_unexpected_is_summarised_from_a_transcript() {
    let (lab, played) = play(
        r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo first words" } } }]
[[replies]]
steps = [{ fault = { kind = "context_overflow" } }]
[[episodes]]
user_contains = "NOTES: greet with hi"
[[episodes.replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[episodes.replies]]
steps = [{ text = "Greet shortly" }]
[[episodes]]
user_contains = "Below is the transcript"
[[episodes.replies]]
expect = { user_contains = ["first words", "You called: bash"] }
steps = [{ text = "NOTES: greet with hi" }]
"#,
    )
    .await;
    played.ended("branch only");
    let errors = played.of("Error");
    assert_eq!(errors[0]["kind"], "context_overflow");
    assert_eq!(errors[0]["retrying"], true);
    assert_eq!(resets(&lab, &played).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_fit_its_model_is_a_typed_failure() {
    let (_lab, played) = play(
        r#"
context_tokens = 300
[[replies]]
steps = [{ text = "NOTES: none" }]
[[episodes]]
user_contains = "NOTES: none"
[[episodes.replies]]
steps = [{ text = "never said" }]
"#,
    )
    .await;
    played.ended("failed(context_overflow)");
    let errors = played.of("Error");
    let message = errors[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("the task alone"), "{message}");
}

/// What a user item says.
fn said(item: &Item) -> String {
    match &item.content {
        Content::User { parts } => joined_text(parts),
        other => panic!("{other:?}"),
    }
}

/// The script of a model that also writes down what matters, after its two calls.
fn summarised(script: &str) -> String {
    let script = script.replace("verify_replay = true\n", "");
    format!(
        "{script}\n[[episodes]]\nuser_contains = \"Write down everything\"\n\
         [[episodes.replies]]\nsteps = [\"hang\"]\n[[episodes.replies]]\nsteps = [\"hang\"]\n\
         [[episodes.replies]]\nsteps = [{{ text = \"NOTES: greet with hi\" }}]\n"
    )
}

/// The conversation starts anew once, from what the model wrote down.
fn is_one_summary(resets: &[Reset]) {
    let [(items, before, after)] = resets else {
        panic!("one reset, not {}", resets.len());
    };
    let [task, summary] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert!(said(task).contains("# Task") && said(summary).contains("NOTES: greet with hi"));
    assert!(after < before, "{after} tokens after, {before} before");
}

/// What the conversation starts anew with, and its tokens before and after.
type Reset = (Vec<Item>, u64, u64);

async fn resets(lab: &Lab, played: &Played) -> Vec<Reset> {
    let events = lab.events(&played.id).await;
    let resets = events.into_iter().filter_map(|logged| match logged.event {
        Event::ConversationReset {
            items,
            tokens_before,
            tokens_after,
            ..
        } => Some((items, tokens_before, tokens_after)),
        _ => None,
    });
    resets.collect()
}
