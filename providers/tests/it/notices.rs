//! What a service did to a conversation, told among the deltas.

use std::sync::Arc;

use pullwright_protocol::Item;
use pullwright_protocol::provider::{Aside, Delta};
use pullwright_providers::Provider;
use serde_json::{Value, json};
use url::Url;

use crate::client::{in_process, log, request};
use crate::http_server::{Answer, Server};
use crate::{anthropic_recordings, anthropic_reply, openai_stream};

/// The notices of a reply, whose other messages are all deltas.
async fn notices(open: fn(Url) -> Arc<dyn Provider>, stream: Vec<u8>) -> Vec<String> {
    let server = Server::start(vec![Answer::stream(stream)]).await;
    let peer = in_process(open(server.url.clone()));
    let log = log(&peer, &request(vec![Item::user("hi")])).await;
    let messages = log.lines().filter_map(|line| {
        let is_delta = serde_json::from_str::<Delta>(line).is_ok();
        let aside = serde_json::from_str(line).ok();
        assert!(is_delta != aside.is_some(), "{line}");
        match aside? {
            Aside::Notice { message } => Some(message),
            Aside::Alive => None,
        }
    });
    messages.collect()
}

/// In the form of either API.
fn left_out() -> Value {
    json!([
        { "type": "reasoning_dropped", "reason": "prefix_mismatch", "item_id": "rs_1" },
        { "type": "reasoning_dropped", "reason": "prefix_mismatch", "item_id": "rs_2" },
    ])
}

#[tokio::test]
async fn what_a_response_leaves_out_is_told() {
    let end = |transformed: &Value| {
        let response = json!({ "output": [], "input_transformations": transformed });
        openai_stream::frames(&[json!({ "type": "response.completed", "response": response })])
    };
    let expected = "openai: the API left parts of the conversation out before the model saw it: prefix_mismatch";
    let told = notices(openai_stream::open_responses, end(&left_out())).await;
    assert_eq!(told, [expected]);
    for nothing in [json!(null), json!([])] {
        let told = notices(openai_stream::open_responses, end(&nothing)).await;
        assert_eq!(told, [""; 0]);
    }
}

#[tokio::test]
async fn what_a_message_leaves_out_is_told() {
    let events =
        anthropic_reply::reply_events(&anthropic_reply::text_block(0, "a word"), "end_turn");
    let expected = "anthropic: the API left parts of the conversation out before the model saw it: prefix_mismatch";
    let end = events.len() - 2;
    for (place, path) in [(0, "/message"), (end, "")] {
        let mut events = events.clone();
        events[place].pointer_mut(path).unwrap()["input_transformations"] = left_out();
        let told = notices(anthropic_recordings::open, anthropic_reply::frames(&events)).await;
        assert_eq!(told, [expected], "{path}");
    }
}
