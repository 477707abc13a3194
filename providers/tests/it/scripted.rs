//! The scripted provider.

use std::sync::Arc;

use pullwright_link::RpcPeer;
use pullwright_protocol::provider::{Delta, StopReason};
use pullwright_protocol::{Content, FailureKind, Item, RawJson};
use pullwright_providers::{Script, ScriptedProvider};

use crate::child;
use crate::client::{self, deltas, error, in_process, items, log, over_lines, request};

const SCRIPT: &str = r#"
piece_chars = 4
verify_replay = true
context_tokens = 1000

[[replies]]
expect = { user_contains = ["mend"], tools_include = ["read"], system_contains = ["a test"] }
steps = [
  { thinking = "what is in there? ümläut" },
  { text = "I look." },
  { tool_call = { name = "read", arguments = { path = "a.txt" } } },
  { tool_call = { name = "read", arguments = '{"path": ' } },
  { usage = { input_tokens = 10, output_tokens = 5 } },
]

[[replies]]
expect = { results_contain = ["content of a", "not JSON"], results_lack = ["panic"] }
steps = [
  { fault = { kind = "overloaded", attempts = 1 } },
  { fault = { kind = "rate_limited", attempts = 2, retry_after_ms = 7 } },
  { text = "Done." },
]
"#;

fn provider(script: &str) -> Arc<ScriptedProvider> {
    let script = Script::from_toml(script).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(ScriptedProvider::new("mine", "test.toml", script))
}

async fn after_first_turn(peer: &dyn RpcPeer) -> Vec<Item> {
    let mut conversation = vec![Item::user("mend it")];
    conversation.extend(items(&deltas(peer, &request(conversation.clone())).await));
    conversation.push(Item::tool_result("call_1_3", "content of a", false));
    conversation.push(Item::tool_result(
        "call_1_4",
        "arguments are not JSON",
        true,
    ));
    conversation
}

#[tokio::test]
async fn a_reply_is_streamed_in_pieces_with_its_items() {
    let peer = in_process(provider(SCRIPT));
    let deltas = deltas(&peer, &request(vec![Item::user("mend it")])).await;
    assert_eq!(
        deltas[0],
        Delta::Started {
            request_id: Some("scripted-1".into())
        }
    );
    assert_eq!(
        deltas[1],
        Delta::Reasoning {
            delta: "what".into()
        }
    );
    let joined = |pick: fn(&Delta) -> Option<&String>| -> String {
        deltas.iter().filter_map(pick).map(String::as_str).collect()
    };
    assert_eq!(
        joined(|d| match d {
            Delta::Reasoning { delta } => Some(delta),
            _ => None,
        }),
        "what is in there? ümläut"
    );
    assert_eq!(
        joined(|d| match d {
            Delta::ToolCallArguments { delta, .. } => Some(delta),
            _ => None,
        }),
        r#"{"path":"a.txt"}{"path": "#
    );
    let items = items(&deltas);
    let calls: Vec<(&str, &str)> = items
        .iter()
        .filter_map(|item| match &item.content {
            Content::ToolCall(call) => Some((call.call_id.as_str(), call.arguments.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("call_1_3", r#"{"path":"a.txt"}"#),
            ("call_1_4", r#"{"path": "#)
        ]
    );
    let natives: Vec<&RawJson> = items
        .iter()
        .map(|item| &item.native.as_ref().unwrap().json)
        .collect();
    assert_eq!(natives[1].as_str(), r#"{"text":"I look.","type":"text"}"#);
    assert_eq!(
        items[0].native.as_ref().unwrap().provenance.provider,
        "mine"
    );
    assert_eq!(
        deltas.last(),
        Some(&Delta::End {
            stop: StopReason::ToolUse,
            raw: "tool_use".into()
        })
    );
}

#[tokio::test]
async fn faults_fire_for_the_first_attempts_of_their_turn() {
    let peer = in_process(provider(SCRIPT));
    let request = request(after_first_turn(&peer).await);
    let first = deltas(&peer, &request).await;
    assert_eq!(error(&first).kind, FailureKind::Overloaded);
    assert!(error(&first).retryable);
    let second = deltas(&peer, &request).await;
    assert_eq!(
        (error(&second).kind, error(&second).retry_after_ms),
        (FailureKind::RateLimited, Some(7))
    );
    let third = deltas(&peer, &request).await;
    assert_eq!(
        third.last(),
        Some(&Delta::End {
            stop: StopReason::EndTurn,
            raw: "end_turn".into()
        })
    );
}

#[tokio::test]
async fn the_links_make_no_difference_to_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.toml");
    std::fs::write(&script, SCRIPT).unwrap();
    let (child, _guard) = child::start(&script);
    let near = in_process(provider(SCRIPT));
    let far = over_lines(provider(SCRIPT));
    let mut logs = Vec::new();
    for peer in [&near as &dyn RpcPeer, &far, &child] {
        let mut whole = log(peer, &request(vec![Item::user("mend it")])).await;
        let conversation = after_first_turn(peer).await;
        for _attempt in 0..3 {
            whole += &log(peer, &request(conversation.clone())).await;
        }
        logs.push((client::info(peer).await, whole));
    }
    assert!(logs[0].1.ends_with("\"raw\":\"end_turn\"}\n"));
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0], logs[2]);
}

#[tokio::test]
async fn the_reply_depends_on_the_conversation_and_on_nothing_else() {
    let conversation = after_first_turn(&in_process(provider(SCRIPT))).await;
    let without_faults = SCRIPT
        .replace("attempts = 1", "attempts = 0")
        .replace("attempts = 2", "attempts = 0");
    let restarted = in_process(provider(&without_faults));
    for _again in 0..2 {
        let deltas = deltas(&restarted, &request(conversation.clone())).await;
        assert_eq!(
            items(&deltas)[0].content,
            Content::Text {
                text: "Done.".into()
            }
        );
    }
}

#[tokio::test]
async fn what_is_not_as_expected_is_said() {
    let peer = in_process(provider(SCRIPT));
    let mut conversation = after_first_turn(&peer).await;
    conversation.pop();
    let said = deltas(&peer, &request(conversation)).await;
    assert_eq!(
        error(&said).message,
        "test.toml, reply 2: expected a tool result with `not JSON`, but there is: `content of a`"
    );
    assert!(!error(&said).retryable);
    let said = deltas(&peer, &request(vec![Item::user("break it")])).await;
    assert_eq!(
        error(&said).message,
        "test.toml, reply 1: expected a user item with `mend`, but there is: `break it`"
    );
}

#[tokio::test]
async fn a_changed_replay_is_noticed() {
    let peer = in_process(provider(SCRIPT));
    let mut conversation = after_first_turn(&peer).await;
    conversation[2].native = None;
    let said = deltas(&peer, &request(conversation)).await;
    assert_eq!(
        error(&said).message,
        "test.toml, reply 2: item 2 of the model came back changed"
    );
}

#[tokio::test]
async fn the_end_of_the_script_is_said() {
    let peer = in_process(provider("replies = []"));
    let said = deltas(&peer, &request(vec![Item::user("go")])).await;
    assert!(
        error(&said)
            .message
            .starts_with("the script test.toml has 0 replies and")
    );
}

#[tokio::test]
async fn every_fault_has_its_kind() {
    let kinds = [
        ("overloaded", FailureKind::Overloaded, true),
        ("rate_limited", FailureKind::RateLimited, true),
        ("cut_stream", FailureKind::Transport, true),
        ("invalid_request", FailureKind::ProviderRequest, false),
        ("auth", FailureKind::ProviderAuth, false),
        ("budget", FailureKind::ProviderBudget, false),
        ("context_overflow", FailureKind::ContextOverflow, false),
        ("reasoning_rejected", FailureKind::ReasoningRejected, false),
    ];
    for (name, kind, retryable) in kinds {
        let script = format!(
            "[[replies]]\nsteps = [{{ text = \"so far\" }}, {{ fault = {{ kind = \"{name}\" }} }}]"
        );
        let peer = in_process(provider(&script));
        let said = deltas(&peer, &request(vec![])).await;
        assert_eq!(
            (error(&said).kind, error(&said).retryable),
            (kind, retryable)
        );
        assert_eq!(items(&said).len(), 1);
    }
}

#[test]
fn a_bad_script_is_refused_with_its_file_and_line() {
    let cases = [
        (
            "bad.toml",
            "replies = [\n  { steps = [{ txt = \"a\" }] }]",
            &["bad.toml", "line 2", "`txt`", "`tool_call`"][..],
        ),
        (
            "bad.toml",
            "replies = []\nreplys = []",
            &["line 2", "`replys`"],
        ),
        (
            "bad.toml",
            "[[replies]]\nsteps = [{ fault = { kind = \"overload\" } }]",
            &["line 2", "`overloaded`"],
        ),
        (
            "bad.toml",
            "piece_chars = 0\nreplies = []",
            &["line 1", "nonzero"],
        ),
        (
            "bad.json",
            "{\"replies\": [\n{\"steps\": [\"hangs\"]}]}",
            &["bad.json", "line 2", "`hangs`"],
        ),
        ("bad.json", "", &["EOF", "line 1"]),
    ];
    for (name, text, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Script::load(&path).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }
}
