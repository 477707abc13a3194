//! Conversations that the API itself makes shorter.

use std::sync::Arc;

use pullwright_protocol::provider::{Delta, StreamRequest, TokenUsage};
use pullwright_protocol::{Content, FailureKind, Item};
use pullwright_providers::Provider;
use serde_json::{Value, json};
use url::Url;

use crate::anthropic_http::{anthropic, config as anthropic_config};
use crate::anthropic_reply::{frames, reply_events};
use crate::client::{deltas, error, in_process, items, request};
use crate::http_server::{Answer, Ending, Request, Server};
use crate::openai_stream::{config, responses};

fn asked() -> StreamRequest {
    StreamRequest {
        compact: true,
        ..request(vec![Item::user("the task"), Item::user("and more")])
    }
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What the API gives, and then takes back as it was.
async fn go_on(
    open: impl Fn(Url) -> Arc<dyn Provider>,
    answer: Answer,
    next: Answer,
) -> (Vec<Delta>, Vec<Request>) {
    let server = Server::start(vec![answer, next]).await;
    let peer = in_process(open(server.url.clone()));
    let compacted = deltas(&peer, &asked()).await;
    let mut anew = items(&compacted);
    anew.push(Item::user("go on"));
    deltas(&peer, &request(anew)).await;
    (compacted, server.requests())
}

fn open_responses(url: Url) -> Arc<dyn Provider> {
    Arc::new(responses(config(url)))
}

fn open_anthropic(url: Url) -> Arc<dyn Provider> {
    let mut config = anthropic_config(url);
    config.compacts = true;
    Arc::new(anthropic(config))
}

fn compacted(output: &Value) -> Answer {
    let body = json!({
        "id": "resp_1", "object": "response.compaction", "created_at": 1, "output": output,
        "usage": { "input_tokens": 900, "input_tokens_details": { "cached_tokens": 800 }, "output_tokens": 50 },
    });
    Answer {
        headers: vec![("content-type", "application/json".into())],
        ..Answer::stream(body.to_string().into_bytes())
    }
}

fn completed() -> Answer {
    let event =
        json!({ "type": "response.completed", "response": { "output": [], "usage": null } });
    Answer::stream(frames(&[event]))
}

#[tokio::test]
async fn responses_are_compacted_by_an_endpoint_of_their_own() {
    let output = json!([
        { "id": "msg_1", "type": "message", "status": "completed", "role": "user",
          "content": [{ "type": "input_text", "text": "the task" }] },
        { "id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAA", "created_by": "x" },
    ]);
    let (deltas, requests) = go_on(open_responses, compacted(&output), completed()).await;
    let items = items(&deltas);
    assert_eq!(items[0].content, Item::user("the task").content);
    assert_eq!(items[1].content, Content::Opaque);
    let usage = TokenUsage {
        input_tokens: 900,
        cached_tokens: 800,
        cache_write_tokens: 0,
        output_tokens: 50,
    };
    assert!(deltas.contains(&Delta::Usage { usage }), "{deltas:?}");
    assert!(
        matches!(deltas.last(), Some(Delta::End { .. })),
        "{deltas:?}"
    );

    assert_eq!(requests[0].uri.path(), "/base/responses/compact");
    assert_eq!(requests[0].headers["accept"], "application/json");
    let asked = body(&requests[0]);
    let keys: Vec<&String> = asked.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["input", "instructions", "model", "prompt_cache_key"]);
    assert_eq!(asked["input"].as_array().unwrap().len(), 2);

    assert_eq!(requests[1].uri.path(), "/base/responses");
    let input = body(&requests[1])["input"].clone();
    assert_eq!([&input[0], &input[1]], [&output[0], &output[1]]);
}

#[tokio::test]
async fn a_compaction_that_is_refused_cut_off_or_senseless_is_an_error() {
    let cut = || Answer {
        pieces: vec![b"{\"output\": [{\"type\":".to_vec()],
        ..compacted(&json!([]))
    };
    let cases = [
        (
            Answer::error(404, &json!({ "error": { "message": "no such route" } })),
            FailureKind::ProviderRequest,
        ),
        (cut(), FailureKind::Transport),
        (
            Answer {
                ending: Ending::Cut,
                ..cut()
            },
            FailureKind::Transport,
        ),
        (compacted(&json!("nothing")), FailureKind::Transport),
    ];
    for (answer, kind) in cases {
        let server = Server::start(vec![answer]).await;
        let peer = in_process(open_responses(server.url.clone()));
        let deltas = deltas(&peer, &asked()).await;
        assert_eq!(error(&deltas).kind, kind, "{deltas:?}");
        assert!(items(&deltas).is_empty());
    }
}

fn summary(content: Option<&str>) -> Answer {
    let block = json!({ "type": "compaction", "content": null, "signature": "sig" });
    let delta =
        json!({ "type": "compaction_delta", "content": content, "encrypted_content": "opaque" });
    let blocks = [
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
    ];
    Answer::stream(frames(&reply_events(&blocks, "compaction")))
}

#[tokio::test]
async fn anthropic_gives_a_block_that_comes_first_from_then_on() {
    let next = Answer::stream(frames(&reply_events(&[], "end_turn")));
    let (deltas, requests) = go_on(open_anthropic, summary(Some("what was said")), next).await;
    assert_eq!(items(&deltas).len(), 1);
    let asked = body(&requests[0]);
    assert_eq!(asked["compaction"], json!({ "type": "summarize" }));
    let next = body(&requests[1]);
    assert_eq!(next["compaction"], Value::Null);
    let block = json!({
        "type": "compaction", "content": "what was said", "signature": "sig", "encrypted_content": "opaque",
    });
    let first = json!({ "role": "assistant", "content": [block] });
    assert_eq!(next["messages"][0], first);
    assert_eq!(next["messages"][1]["role"], "user");
    for request in requests {
        assert_eq!(request.headers["anthropic-beta"], "compact-2026-09-04");
    }
}

#[tokio::test]
async fn a_summary_that_failed_stands_for_nothing() {
    let server = Server::start(vec![summary(None)]).await;
    let peer = in_process(open_anthropic(server.url.clone()));
    let deltas = deltas(&peer, &asked()).await;
    assert!(items(&deltas).is_empty());
    assert!(
        matches!(deltas.last(), Some(Delta::End { .. })),
        "{deltas:?}"
    );
}
