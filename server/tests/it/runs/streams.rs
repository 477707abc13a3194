//! What a client sees while the run goes on, and calls side by side.

use pullwright_protocol::{Content, Event};
use serde_json::{Value, json};

use super::lab::{Lab, Plan};

/// Two calls must be there before either is answered, and the second is answered first.
const MEETING: &str = r#"#!/bin/sh
id_of() { printf '%s' "$1" | sed -n 's/.*"id":\([0-9]*\).*/\1/p'; }
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
waiting=
while read -r line; do
  id=$(id_of "$line")
  case "$line" in
  *'"initialize"'*) answer "$id" '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"meeting","version":"1"}}' ;;
  *'"tools/list"'*) answer "$id" '{"tools":[{"name":"meet","description":"Waits for another.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}' ;;
  *'"tools/call"'*)
    who=$(printf '%s' "$line" | sed -n 's/.*"who":"\([a-z]*\)".*/\1/p')
    if [ -z "$waiting" ]; then
      waiting="$id $who"
    else
      answer "$id" '{"content":[{"type":"text","text":"here is '"$who"'"}]}'
      answer "${waiting% *}" '{"content":[{"type":"text","text":"here is '"${waiting#* }"'"}]}'
      waiting=
    fi ;;
  esac
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn read_only_calls_of_a_turn_overlap_and_are_answered_in_order() {
    let lab = Lab::start(Plan {
        script: r#"
[[replies]]
steps = [
  { tool_call = { name = "meeting__meet", arguments = { who = "ada" } } },
  { tool_call = { name = "meeting__meet", arguments = { who = "bob" } } },
]
[[replies]]
expect = { results_contain = ["here is ada", "here is bob"], results_are_errors = false }
steps = [{ text = "They met" }]
"#,
        config: "[tools.meeting]\ncommand = \"./meeting.sh\"\n",
        beside: &[("meeting.sh", MEETING)],
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("no changes");
    let calls = played.of("Tool: meeting.meet");
    let outputs: Vec<_> = calls.iter().map(|call| call["output"].clone()).collect();
    assert_eq!(outputs, ["here is ada", "here is bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_show_what_grows_and_add_up_to_the_whole() {
    let lab = Lab::start(Plan {
        script: r#"
piece_chars = 3
[[replies]]
steps = [
  { text = "I count slowly." },
  { tool_call = { name = "bash", arguments = { command = "for i in 1 2 3 4; do echo line $i; sleep 0.2; done" } } },
]
[[replies]]
steps = [{ text = "Counted to four" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run_with("/code?deltas=1", json!({})).await;
    played.ended("no changes");
    let joined = |kind| -> String {
        let frames = played.of(kind);
        let deltas = frames
            .iter()
            .map(|frame| frame["delta"].as_str().expect("a delta"));
        deltas.collect()
    };
    assert_eq!(joined("AI Message Delta"), "I count slowly.Counted to four");
    let output = "line 1\nline 2\nline 3\nline 4\n";
    assert_eq!(joined("Tool Output Delta"), output);
    assert!(played.of("Tool Output Delta").len() > 1, "{}", played.text);
    let bash = played.of("Tool: Bash");
    let whole = bash[0]["output"].as_str().expect("an output");
    assert!(whole.contains(output.trim_end()), "{whole}");
    let place = |kind: &str| {
        played
            .frames
            .iter()
            .rposition(|frame: &Value| frame["type"] == kind)
    };
    assert!(place("Tool Output Delta") < place("Tool: Bash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_deltas_only_the_whole_is_shown() {
    let lab = Lab::start(Plan {
        script: super::lab::GREET,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    assert!(played.of("AI Message Delta").is_empty());
    assert!(played.of("Tool Output Delta").is_empty());
    // The conversation of the log is what the frames show.
    let events = lab.events(&played.id).await;
    let texts = events.iter().filter_map(|logged| match &logged.event {
        Event::ItemAppended { item } => match &item.content {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    });
    let shown = played.of("AI Message");
    let shown = shown.iter().filter_map(|frame| frame["message"].as_str());
    assert!(texts.eq(shown));
}
