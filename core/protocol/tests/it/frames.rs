//! What a client of `POST /code` sees, byte for byte.

use pullwright_protocol::{
    CheckPhase, CheckReport, Content, Event, FailureKind, Frame, FrameOptions, Item, Outcome, Part,
    RunId, RunUsage, Stage, ToolView,
};
use serde_json::{Value, json};

fn shown(event: &Event, deltas: bool) -> Option<String> {
    let frame = Frame::of(&RunId("r1".into()), event, FrameOptions { deltas })?;
    Some(serde_json::to_string(&frame).unwrap())
}

fn answered(view: ToolView, arguments: Value, structured: Option<Value>) -> Event {
    Event::ToolAnswered {
        call_id: "c1".into(),
        server: "fs".into(),
        tool: "edit".into(),
        arguments,
        parts: vec![Part::text("one"), Part::text("two")],
        is_error: false,
        structured,
        view,
        duration_ms: 3,
    }
}

#[test]
fn every_frame_has_its_shape() {
    let table = [
        (
            Event::Status {
                stage: Stage::Clone,
                message: "m".into(),
            },
            r#"{"type":"Status","stage":"clone","message":"m"}"#,
        ),
        (
            Event::ToolServerRestarted {
                server: "docs".into(),
                reason: "it ended".into(),
            },
            r#"{"type":"Status","stage":"work","message":"tool server `docs` was lost and is back: it ended"}"#,
        ),
        (
            Event::ToolServerLost {
                server: "docs".into(),
                reason: "it ended".into(),
            },
            r#"{"type":"Status","stage":"work","message":"tool server `docs` is gone: it ended"}"#,
        ),
        (
            Event::ToolListChanged {
                server: "docs".into(),
                added: vec!["a".into(), "b".into()],
                changed: Vec::new(),
                removed: vec!["c".into()],
            },
            r#"{"type":"Status","stage":"work","message":"tool server `docs` lists other tools: a, b (new, for the next run); c (gone)"}"#,
        ),
        (
            Event::ToolListChanged {
                server: "docs".into(),
                added: Vec::new(),
                changed: Vec::new(),
                removed: Vec::new(),
            },
            r#"{"type":"Status","stage":"work","message":"tool server `docs` lists the same tools as at first again"}"#,
        ),
        (
            Event::ReasoningDelta { delta: "d".into() },
            r#"{"type":"AI Thinking","delta":"d"}"#,
        ),
        (
            Event::ItemAppended {
                item: Item::neutral(Content::Text { text: "t".into() }),
            },
            r#"{"type":"AI Message","message":"t"}"#,
        ),
        (
            answered(ToolView::Read { path: "p".into() }, json!({"p": "a"}), None),
            r#"{"type":"Tool: Read","filepath":"a","isError":false}"#,
        ),
        (
            answered(
                ToolView::Edit {
                    path: "p".into(),
                    old: Some("o".into()),
                    new: "n".into(),
                },
                json!({"p": "a", "o": "x", "n": "y"}),
                None,
            ),
            r#"{"type":"Tool: Edit","filepath":"a","old_str":"x","new_str":"y","isError":false}"#,
        ),
        (
            answered(
                ToolView::Edit {
                    path: "p".into(),
                    old: None,
                    new: "n".into(),
                },
                json!({"p": "a", "n": "y"}),
                None,
            ),
            r#"{"type":"Tool: Edit","filepath":"a","old_str":"","new_str":"y","isError":false}"#,
        ),
        (
            answered(
                ToolView::Bash {
                    command: "c".into(),
                },
                json!({"c": "ls"}),
                Some(json!({"exit_code": 2})),
            ),
            r#"{"type":"Tool: Bash","command":"ls","output":"one\ntwo","exitCode":2}"#,
        ),
        (
            answered(ToolView::Plain, json!({"q": 1}), None),
            r#"{"type":"Tool: fs.edit","arguments":{"q":1},"output":"one\ntwo","isError":false}"#,
        ),
        (
            Event::Checked {
                report: CheckReport {
                    command: "make test".into(),
                    exit_code: None,
                    duration_ms: 7,
                    tree: "t".into(),
                    phase: CheckPhase::After,
                    output_tail: "not shown".into(),
                },
            },
            r#"{"type":"Check","command":"make test","exitCode":null,"durationMs":7,"tree":"t","phase":"after"}"#,
        ),
        (
            Event::Error {
                kind: FailureKind::Overloaded,
                message: "m".into(),
                retrying: true,
                attempt: 2,
            },
            r#"{"type":"Error","kind":"overloaded","message":"m","retrying":true,"attempt":2}"#,
        ),
        (
            Event::PullRequestOpened {
                url: "u".into(),
                number: 4,
                branch: "b".into(),
                base: "main".into(),
                draft: true,
            },
            r#"{"type":"Pull Request","url":"u","number":4,"branch":"b","base":"main","draft":true}"#,
        ),
        (
            Event::Done {
                outcome: Outcome::Failed(FailureKind::Clone),
                summary: "s".into(),
                pr_url: None,
                branch: None,
                has_patch: true,
                usage: RunUsage {
                    input_tokens: 1,
                    cached_tokens: 2,
                    output_tokens: 3,
                    usd: Some(0.5),
                    sandbox: None,
                },
            },
            r#"{"type":"Done","outcome":"failed(clone)","prUrl":null,"branch":null,"patchUrl":"/v1/runs/r1/patch","summary":"s","usage":{"inputTokens":1,"cachedTokens":2,"outputTokens":3,"usd":0.5}}"#,
        ),
    ];
    for (event, expected) in table {
        assert_eq!(shown(&event, false).as_deref(), Some(expected));
    }
}

/// Logs of earlier versions do not say why: there was one reason only.
#[test]
fn a_reset_says_why() {
    let reset = |reason: Value| {
        let mut event = json!({ "type": "conversation_reset", "items": [], "tokens_before": 9, "tokens_after": 4 });
        if reason.is_string() {
            event["reason"] = reason;
        }
        shown(&serde_json::from_value(event).unwrap(), false).unwrap()
    };
    assert_eq!(
        reset(Value::Null),
        r#"{"type":"Status","stage":"work","message":"the conversation became too long for the model's context; it goes on from a summary (about 9 tokens before, 4 now)"}"#
    );
    assert_eq!(reset(json!("too_long")), reset(Value::Null));
    assert_eq!(
        reset(json!("reasoning_rejected")),
        r#"{"type":"Status","stage":"work","message":"the provider does not take the model's reasoning back; the conversation goes on without it (about 9 tokens before, 4 now)"}"#
    );
}

#[test]
fn deltas_are_shown_only_when_asked_for() {
    let message = Event::MessageDelta { delta: "d".into() };
    assert_eq!(shown(&message, false), None);
    assert_eq!(
        shown(&message, true).unwrap(),
        r#"{"type":"AI Message Delta","delta":"d"}"#
    );
    let output = Event::ToolOutputDelta {
        call_id: "c".into(),
        delta: "d".into(),
    };
    assert_eq!(shown(&output, false), None);
    assert_eq!(
        shown(&output, true).unwrap(),
        r#"{"type":"Tool Output Delta","delta":"d"}"#
    );
}

#[test]
fn what_was_said_to_the_model_is_no_message_of_it() {
    let item = Item::user("task");
    assert_eq!(shown(&Event::ItemAppended { item }, true), None);
}

#[test]
fn events_survive_the_log() {
    let event = answered(
        ToolView::Plain,
        json!({"a": [1, 2.5, null]}),
        Some(json!({})),
    );
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.starts_with(r#"{"type":"tool_answered","#), "{text}");
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
}
