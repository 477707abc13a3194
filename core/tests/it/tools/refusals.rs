//! What a server may not ask for, and what it is told when a call ends early.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::tools::{ApproveAll, ToolCallError};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fake::{Era, Fake, Plan, Reaction, reply, text};
use super::{answered, call, call_until, connect, connect_with, in_time, options};

type React = fn(usize, &Value) -> Reaction;

fn asking(method: &str, params: Value) -> Reaction {
    let request = json!({ "jsonrpc": "2.0", "id": 900, "method": method, "params": params });
    Reaction::Say(vec![request])
}

fn sampling(_: usize, _: &Value) -> Reaction {
    let message = json!({ "role": "user", "content": { "type": "text", "text": "think for me" } });
    asking(
        "sampling/createMessage",
        json!({ "messages": [message], "maxTokens": 1 }),
    )
}

fn elicitation(_: usize, _: &Value) -> Reaction {
    let schema = json!({ "type": "object", "properties": {} });
    asking(
        "elicitation/create",
        json!({ "message": "who?", "requestedSchema": schema }),
    )
}

fn roots(_: usize, _: &Value) -> Reaction {
    asking("roots/list", json!({}))
}

#[tokio::test]
async fn requests_of_a_server_are_refused() {
    for (what, react) in [
        ("sampling", sampling as React),
        ("elicitation", elicitation),
        ("roots", roots),
    ] {
        let fake = Fake::new(Plan {
            react,
            ..Plan::default()
        });
        let server = connect(&fake).await;
        let told = answered(&server, "go").await;
        assert_eq!(told, format!("this client does not offer {what}"));
        let refusal = fake.heard(|message| message["id"] == 900).unwrap();
        assert_eq!(refusal["error"]["code"], -32601, "{refusal}");
    }
}

#[tokio::test]
async fn a_tool_that_wants_input_is_an_error_the_model_can_read() {
    let fake = Fake::new(Plan {
        era: Era::Modern,
        react: |_, call| {
            let schema = json!({ "type": "object", "properties": {} });
            let elicit = json!({
                "method": "elicitation/create",
                "params": { "mode": "form", "message": "who?", "requestedSchema": schema },
            });
            Reaction::Say(vec![reply(
                call,
                json!({
                    "resultType": "input_required", "inputRequests": { "who": elicit },
                    "requestState": "s",
                }),
            )])
        },
        ..Plan::default()
    });
    let server = connect(&fake).await;
    let error = call(&server, "go").await.unwrap_err();
    assert!(matches!(error, ToolCallError::Refused(_)), "{error}");
    assert!(error.to_string().contains("asked for input"), "{error}");
    assert_eq!(fake.calls(), 1, "it is not asked again with an answer");
}

#[tokio::test]
async fn an_answer_without_content_is_an_empty_one() {
    let fake = Fake::new(Plan {
        react: |_, call| Reaction::Say(vec![reply(call, json!({}))]),
        ..Plan::default()
    });
    assert_eq!(answered(&connect(&fake).await, "go").await, "");
}

#[tokio::test]
async fn a_call_that_ends_early_is_cancelled_on_the_server() {
    for era in [Era::Legacy, Era::Modern] {
        let fake = Fake::new(Plan {
            era,
            react: |number, call| match number {
                0 | 1 => Reaction::Nothing,
                _ => Reaction::Say(vec![text(call, "done")]),
            },
            ..Plan::default()
        });
        let mut options = options();
        options.tool_timeout = Duration::from_millis(300);
        let server = connect_with(&fake, options, Arc::new(ApproveAll))
            .await
            .unwrap();
        let late = call(&server, "go").await.unwrap_err();
        assert!(matches!(late, ToolCallError::Timeout { .. }), "{late}");
        wait_for_cancellation(&fake, "the time limit was reached").await;

        let cancel = CancellationToken::new();
        let ending = async {
            while fake.calls() < 2 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let (cancelled, ()) = tokio::join!(call_until(&server, "go", &cancel), in_time(ending));
        assert!(
            matches!(cancelled, Err(ToolCallError::Cancelled)),
            "{cancelled:?}"
        );
        wait_for_cancellation(&fake, "the run was cancelled").await;
        assert_eq!(
            answered(&server, "go").await,
            "done",
            "the connection is good for more"
        );
    }
}

async fn wait_for_cancellation(fake: &Fake, reason: &str) {
    let told = |message: &Value| {
        message["method"] == "notifications/cancelled" && message["params"]["reason"] == reason
    };
    in_time(async {
        while fake.heard(told).is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn progress_of_a_foreign_server_is_shown_line_by_line() {
    let fake = Fake::new(Plan {
        react: |_, call| {
            let token = &call["params"]["_meta"]["progressToken"];
            let progress = |done: u32, message: Option<&str>| {
                let mut params = json!({ "progressToken": token, "progress": done, "total": 2 });
                if let Some(message) = message {
                    params["message"] = json!(message);
                }
                json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
            };
            Reaction::Say(vec![
                progress(1, Some("reading")),
                progress(2, None),
                text(call, "done"),
            ])
        },
        ..Plan::default()
    });
    let server = connect(&fake).await;
    let (output, mut pieces) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let answer = server.call(
        "go",
        Default::default(),
        Default::default(),
        &output,
        &cancel,
    );
    in_time(answer).await.unwrap();
    drop(output);
    let mut shown = Vec::new();
    while let Some(piece) = pieces.recv().await {
        shown.push(piece);
    }
    shown.sort();
    assert_eq!(shown.concat(), "1/2 reading\n2/2\n");
}
