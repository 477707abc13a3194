//! A server that dies.

use std::time::Duration;

use pullwright_core::tools::{ToolCallError, ToolNotice};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Plan, Reaction, text, tool};
use super::{answered, call, call_until, connect, connect_with, notice, options};

/// Dies over its first call.
fn dies_once(number: usize, call: &Value) -> Reaction {
    match number {
        0 => Reaction::Die,
        _ => Reaction::Say(vec![text(call, "back")]),
    }
}

fn hinted(hint: &str) -> Value {
    let mut tool = tool("go");
    tool["annotations"] = json!({ hint: true });
    tool
}

#[tokio::test]
async fn a_call_whose_server_dies_is_an_error_and_the_server_comes_back() {
    let fake = Fake::new(Plan {
        react: dies_once,
        ..Plan::default()
    });
    let server = connect(&fake).await;
    let mut notices = server.take_notices().unwrap();
    let error = call(&server, "go").await.unwrap_err();
    assert!(matches!(error, ToolCallError::Lost { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("may or may not have taken effect")
    );
    assert_eq!(
        fake.calls(),
        1,
        "a call that may have had an effect is not made again"
    );
    let restarted = notice(&mut notices).await;
    assert!(
        matches!(restarted, ToolNotice::Restarted { .. }),
        "{restarted:?}"
    );
    assert_eq!(answered(&server, "go").await, "back");
    assert_eq!(fake.opens(), 2);
}

#[tokio::test]
async fn a_call_that_does_no_harm_twice_is_made_again_once() {
    for hint in ["idempotentHint", "readOnlyHint"] {
        let fake = Fake::new(Plan {
            pages: vec![vec![hinted(hint)]],
            react: dies_once,
            ..Plan::default()
        });
        let server = connect(&fake).await;
        assert_eq!(answered(&server, "go").await, "back", "{hint}");
        assert_eq!(fake.calls(), 2);

        let fake = Fake::new(Plan {
            pages: vec![vec![hinted(hint)]],
            react: |_, _| Reaction::Die,
            ..Plan::default()
        });
        let server = connect(&fake).await;
        let error = call(&server, "go").await.unwrap_err();
        assert!(matches!(error, ToolCallError::Lost { .. }), "{error}");
        assert_eq!(fake.calls(), 2, "once again, and not more");
    }
}

#[tokio::test]
async fn a_hint_that_says_no_is_not_taken_for_yes() {
    let mut destructive = tool("go");
    destructive["annotations"] = json!({ "idempotentHint": false, "destructiveHint": true });
    let fake = Fake::new(Plan {
        pages: vec![vec![destructive]],
        react: dies_once,
        ..Plan::default()
    });
    let server = connect(&fake).await;
    call(&server, "go").await.unwrap_err();
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn a_call_while_the_server_is_down_waits_for_it() {
    let fake = Fake::new(Plan {
        react: dies_once,
        ..Plan::default()
    });
    let server = connect(&fake).await;
    fake.change(|plan| plan.failing_opens = 2);
    let (first, second) = tokio::join!(call(&server, "go"), async {
        super::in_time(async {
            while fake.opens() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        answered(&server, "go").await
    });
    assert!(
        matches!(first, Err(ToolCallError::Lost { .. })),
        "{first:?}"
    );
    assert_eq!(second, "back");
    assert_eq!(fake.opens(), 4);
}

#[tokio::test]
async fn a_call_while_the_server_is_down_ends_in_time_and_with_the_run() {
    let fake = Fake::new(Plan {
        react: |_, _| Reaction::Die,
        ..Plan::default()
    });
    let mut options = options();
    options.tool_timeout = Duration::from_millis(300);
    let approval = std::sync::Arc::new(pullwright_core::tools::ApproveAll);
    let server = connect_with(&fake, options, approval).await.unwrap();
    fake.change(|plan| plan.failing_opens = 100);
    let lost = call(&server, "go").await.unwrap_err();
    assert!(matches!(lost, ToolCallError::Lost { .. }), "{lost}");
    let down = call(&server, "go").await.unwrap_err();
    assert!(matches!(down, ToolCallError::Down { .. }), "{down}");
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let cancelled = call_until(&server, "go", &cancelled).await.unwrap_err();
    assert!(matches!(cancelled, ToolCallError::Cancelled), "{cancelled}");
}

#[tokio::test]
async fn a_server_that_never_comes_back_is_given_up() {
    let fake = Fake::new(Plan {
        react: |_, _| Reaction::Die,
        ..Plan::default()
    });
    let server = connect(&fake).await;
    let mut notices = server.take_notices().unwrap();
    fake.change(|plan| plan.failing_opens = 100);
    let error = call(&server, "go").await.unwrap_err();
    assert!(matches!(error, ToolCallError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("it does not start"), "{error}");
    assert_eq!(fake.opens(), 6);
    let abandoned = notice(&mut notices).await;
    assert!(
        matches!(abandoned, ToolNotice::Abandoned { .. }),
        "{abandoned:?}"
    );
    let again = call(&server, "go").await.unwrap_err();
    assert!(matches!(again, ToolCallError::Gone { .. }), "{again}");
    assert_eq!(fake.opens(), 6, "nothing is tried any more");
}

#[tokio::test]
async fn a_dropped_handle_ends_its_server_at_once() {
    let fake = Fake::new(Plan::default());
    let server = connect(&fake).await;
    let mut notices = server.take_notices().unwrap();
    drop(server);
    assert_eq!(super::in_time(notices.recv()).await, None);
    assert_eq!(
        fake.opens(),
        1,
        "what was ended on purpose is not started anew"
    );
}
