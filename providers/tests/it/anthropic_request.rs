//! The body of a request.

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, Native, Part, RawJson, ToolCall};
use std::sync::Arc;

use proptest::prelude::*;
use pullwright_providers::{AnthropicConfig, Thinking};
use serde_json::{Value, json};
use url::Url;

use crate::anthropic_http::{anthropic, config};
use crate::anthropic_reply::provenance;
use crate::client::request;

const MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;

fn test_config() -> AnthropicConfig {
    config(Url::parse("http://127.0.0.1").unwrap())
}

fn text(request: &StreamRequest) -> String {
    String::from_utf8(anthropic(test_config()).request_body(request).unwrap()).unwrap()
}

fn body(items: Vec<Item>) -> Value {
    serde_json::from_str(&text(&request(items))).unwrap()
}

fn native(content: Content, json: &str) -> Item {
    Item {
        content,
        native: Some(Native {
            provenance: provenance(),
            json: RawJson::parse(json).unwrap(),
        }),
    }
}

fn thinking() -> Item {
    native(
        Content::Reasoning {
            text: String::new(),
        },
        r#"{ "type":"thinking","thinking":"",  "signature":"s/=" }"#,
    )
}

fn call(id: &str) -> Item {
    let call = ToolCall {
        call_id: id.into(),
        name: "read".into(),
        arguments: "{}".into(),
    };
    native(
        Content::ToolCall(call),
        &format!(r#"{{"name":"read","type":"tool_use","input":{{"z":1.0,"a":2}},"id":"{id}"}}"#),
    )
}

fn turns() -> Vec<Vec<Item>> {
    let mut all = vec![Item::user("start")];
    let mut turns = vec![all.clone()];
    for turn in 0..5 {
        all.extend([
            thinking(),
            call(&format!("a{turn}")),
            call(&format!("b{turn}")),
        ]);
        all.push(Item::tool_result(format!("a{turn}"), "fine", false));
        all.push(Item::tool_result(format!("b{turn}"), "", turn % 2 == 0));
        turns.push(all.clone());
    }
    turns
}

#[test]
fn each_body_starts_with_the_one_before() {
    let unmarked: Vec<String> = turns()
        .into_iter()
        .map(|items| text(&request(items)).replace(MARK, ""))
        .collect();
    for pair in unmarked.windows(2) {
        let closed = pair[0].strip_suffix("]}").unwrap();
        assert!(pair[1].starts_with(closed), "{}\n{}", pair[0], pair[1]);
    }
}

/// An item of a kind: what the user, a tool, this model or another one may say.
fn item_of(kind: u8) -> Item {
    let foreign = |content| Item::neutral(content);
    match kind {
        0 => Item::user("go on"),
        1 => Item::user(" "),
        2 => Item::tool_result("a", "fine", false),
        3 => Item::tool_result("b", "", true),
        4 => thinking(),
        5 => call("a"),
        6 => foreign(Content::Text {
            text: "words".into(),
        }),
        7 => foreign(Content::Text { text: "\n".into() }),
        _ => foreign(Content::Reasoning {
            text: "elsewhere".into(),
        }),
    }
}

proptest! {
    /// What was written before is the same as what would be written now, whatever was said.
    #[test]
    fn what_is_written_once_is_what_would_be_written_again(
        turns in proptest::collection::vec(proptest::collection::vec(0_u8..9, 1..5), 1..12),
    ) {
        let provider = anthropic(test_config());
        let mut request = request(vec![Item::user("start")]);
        for turn in turns {
            request.items.extend(turn.into_iter().map(|kind| Arc::new(item_of(kind))));
            let written = provider.request_body(&request).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), text(&request));
        }
    }
}

#[test]
fn a_shorter_or_another_conversation_is_written_anew() {
    let provider = anthropic(test_config());
    let written = |request: &StreamRequest| {
        String::from_utf8(provider.request_body(request).unwrap()).unwrap()
    };
    for items in turns().into_iter().rev() {
        let request = request(items);
        assert_eq!(written(&request), text(&request));
        assert_eq!(written(&request), text(&request));
    }
}

#[test]
fn what_the_model_said_goes_back_byte_for_byte() {
    let body = text(&request(turns().pop().unwrap()));
    assert!(body.contains(r#"{ "type":"thinking","thinking":"",  "signature":"s/=" }"#));
    assert!(
        body.contains(r#"{"name":"read","type":"tool_use","input":{"z":1.0,"a":2},"id":"a4"}"#)
    );
}

#[test]
fn the_cache_is_marked_where_the_next_request_looks_for_it() {
    let turns = turns();
    let marks = |body: &Value| -> Vec<usize> {
        let messages = body["messages"].as_array().unwrap();
        let marked = |message: &Value| {
            message["content"]
                .as_array()
                .unwrap()
                .last()
                .unwrap()
                .get("cache_control")
                .is_some()
        };
        messages
            .iter()
            .enumerate()
            .filter(|(_, message)| marked(message))
            .map(|(index, _)| index)
            .collect()
    };
    let bodies: Vec<Value> = turns.into_iter().map(body).collect();
    assert_eq!(marks(&bodies[0]), [0]);
    assert_eq!(marks(&bodies[1]), [0, 2]);
    assert_eq!(marks(&bodies[5]), [8, 10]);
    for body in &bodies {
        assert!(body["system"][0].get("cache_control").is_some());
        assert!(body.to_string().matches("cache_control").count() <= 4);
    }
}

#[test]
fn without_a_system_prompt_the_tools_are_marked() {
    let mut request = request(vec![Item::user("hi")]);
    request.system.clear();
    let body: Value = serde_json::from_str(&text(&request)).unwrap();
    assert_eq!(body.get("system"), None);
    assert!(body["tools"][0].get("cache_control").is_some());
}

#[test]
fn what_another_provider_said_goes_as_neutral_text_without_its_reasoning() {
    let mut items = turns().remove(1);
    items.insert(
        1,
        native(
            Content::Text {
                text: "I look".into(),
            },
            r#"{"type":"text","text":"I look"}"#,
        ),
    );
    for item in items.iter_mut().filter(|item| item.native.is_some()) {
        item.native.as_mut().unwrap().provenance.model = "another".into();
    }
    items.insert(2, Item::neutral(Content::Opaque));
    let body = body(items);
    let said = &body["messages"][1]["content"];
    assert_eq!(said[0], json!({ "type": "text", "text": "I look" }));
    assert_eq!(
        said[1],
        json!({ "type": "tool_use", "id": "a0", "name": "read", "input": {} })
    );
    assert_eq!(said.as_array().unwrap().len(), 3);
}

#[test]
fn results_come_first_and_keep_their_flags_and_pictures() {
    let image = Part::Image {
        media_type: "image/png".into(),
        data: "AAAA".into(),
    };
    let body = body(vec![
        Item::user("start"),
        call("a"),
        Item::user("and hurry"),
        Item::neutral(Content::ToolResult {
            call_id: "a".into(),
            parts: vec![Part::text("seen"), image],
            is_error: true,
        }),
    ]);
    assert_eq!(
        body["messages"][2]["content"],
        json!([
            { "type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [
                { "type": "text", "text": "seen" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
            ] },
            { "type": "text", "text": "and hurry", "cache_control": { "type": "ephemeral" } },
        ])
    );
}

#[test]
fn empty_texts_are_left_out_wherever_they_come_from() {
    let body = body(vec![
        Item::user("start"),
        native(
            Content::Text {
                text: String::new(),
            },
            r#"{"type":"text","text":""}"#,
        ),
        Item::user(" "),
        Item::user("go on"),
    ]);
    let texts: Vec<&Value> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|m| m["content"].as_array().unwrap())
        .map(|b| &b["text"])
        .collect();
    assert_eq!(texts, ["start", "go on"]);
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn arguments_and_ids_that_the_api_would_refuse_are_mended() {
    let bad = |arguments: &str| {
        Item::neutral(Content::ToolCall(ToolCall {
            call_id: "fc:1/x".into(),
            name: "read".into(),
            arguments: arguments.into(),
        }))
    };
    for (arguments, input) in [
        ("{\"a\":", json!({ "invalid_json": "{\"a\":" })),
        ("[1]", json!({ "invalid_json": "[1]" })),
        (" {\"a\":1} ", json!({ "a": 1 })),
    ] {
        let body = body(vec![
            Item::user("s"),
            bad(arguments),
            Item::tool_result("fc:1/x", "r", false),
        ]);
        assert_eq!(body["messages"][1]["content"][0]["input"], input);
        assert_eq!(body["messages"][1]["content"][0]["id"], "call_fc_1_x");
        assert_eq!(
            body["messages"][2]["content"][0]["tool_use_id"],
            "call_fc_1_x"
        );
    }
}

#[test]
fn an_empty_conversation_is_refused() {
    let error = anthropic(test_config())
        .request_body(&request(vec![]))
        .unwrap_err();
    assert_eq!(error.message, "the conversation is empty");
}

#[test]
fn limits_and_thinking_are_what_was_asked() {
    let mut asked = request(vec![Item::user("hi")]);
    asked.max_output_tokens = Some(77);
    let body: Value = serde_json::from_str(&text(&asked)).unwrap();
    assert_eq!(body["max_tokens"], 77);
    assert_eq!(
        body["thinking"],
        json!({ "type": "adaptive", "display": "summarized" })
    );
    assert_eq!(body["output_config"], json!({ "effort": "high" }));
    for key in ["temperature", "top_p", "top_k"] {
        assert_eq!(body.get(key), None);
    }
}

#[test]
fn thinking_fits_the_model() {
    for (model, thinking) in [
        ("claude-opus-5-5", Thinking::Adaptive),
        ("claude-sonnet-4-6", Thinking::Adaptive),
        ("claude-haiku-5-5", Thinking::Adaptive),
        ("claude-haiku-4-5-20251001", Thinking::Unspecified),
        ("claude-sonnet-4-5", Thinking::Unspecified),
        ("claude-sonnet-4-20250514", Thinking::Unspecified),
        ("claude-3-haiku-20240307", Thinking::Unspecified),
    ] {
        assert_eq!(Thinking::for_model(model), thinking, "{model}");
    }
}
