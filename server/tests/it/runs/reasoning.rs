//! Reasoning that its provider does not take back.

use pullwright_protocol::{Content, Event, Item, ResetReason};

use super::lab::{Lab, Played, play};

/// The model's second reply is refused while the reasoning of the first comes back.
const REJECTED: &str = r#"
[[replies]]
steps = [
  { thinking = "A look first." },
  { tool_call = { name = "bash", arguments = { command = "echo first words" } } },
]
[[replies]]
expect = { results_contain = ["first words"] }
steps = [
  { fault = { kind = "reasoning_rejected", while_reasoning = true } },
  { thinking = "Now I know." },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
expect = { results_contain = ["edited"] }
steps = [{ text = "Greet shortly" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_whose_reasoning_is_rejected_goes_on_without_it() {
    let (lab, played) = play(REJECTED).await;
    played.ended("branch only");
    let errors = played.of("Error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["kind"], "reasoning_rejected");
    assert_eq!(errors[0]["retrying"], true);
    let told = played.of("Status").iter().any(|status| {
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("goes on without it")
    });
    assert!(told, "the reset is told");
    let resets = resets(&lab, &played).await;
    let [(reason, items)] = resets.as_slice() else {
        panic!("one reset, not {resets:?}");
    };
    assert_eq!(*reason, ResetReason::ReasoningRejected);
    let [task, call, result] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert!(matches!(task.content, Content::User { .. }));
    assert!(matches!(call.content, Content::ToolCall(_)) && call.native.is_none());
    assert!(matches!(result.content, Content::ToolResult { .. }));
}

/// Every conversation with the reasoning that was said after a reset is rejected again.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_rejected_again_and_again_ends_in_a_summary() {
    let turn = r#"
[[replies]]
steps = [
  { fault = { kind = "reasoning_rejected", while_reasoning = true } },
  { thinking = "Again." },
  { tool_call = { name = "bash", arguments = { command = "date +%N" } } },
]
"#;
    let script = format!("{}\n{ANEW}", turn.repeat(6));
    let (lab, played) = play(&script).await;
    played.ended("branch only");
    let reasons: Vec<ResetReason> = resets(&lab, &played)
        .await
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    let (without, summary) = (ResetReason::ReasoningRejected, ResetReason::TooLong);
    // The first summary is of a transcript: the conversation itself is rejected.
    assert_eq!(reasons, [without, without, without, summary, summary]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_without_reasoning_too_is_summarised() {
    let script = REJECTED.replace(", while_reasoning = true", "");
    let (lab, played) = play(&format!("{script}\n{ANEW}")).await;
    played.ended("branch only");
    let resets = resets(&lab, &played).await;
    assert_eq!(resets.len(), 3, "{resets:?}");
    assert_eq!(resets[0].0, ResetReason::ReasoningRejected);
    assert_eq!(resets[2].0, ResetReason::TooLong);
}

/// What the model says about a transcript, and from its summary on.
const ANEW: &str = r#"
[[episodes]]
user_contains = "NOTES: greet with hi"
[[episodes.replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[episodes.replies]]
steps = [{ text = "Greet shortly" }]
[[episodes]]
user_contains = "Below is the transcript"
[[episodes.replies]]
steps = [{ text = "NOTES: greet with hi" }]
"#;

/// Why the conversation starts anew, and with what.
async fn resets(lab: &Lab, played: &Played) -> Vec<(ResetReason, Vec<Item>)> {
    let events = lab.events(&played.id).await;
    let resets = events.into_iter().filter_map(|logged| match logged.event {
        Event::ConversationReset { reason, items, .. } => Some((reason, items)),
        _ => None,
    });
    resets.collect()
}
