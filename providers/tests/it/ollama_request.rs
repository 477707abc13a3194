//! The body of a request to Ollama.

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, Native, Part, RawJson, ToolCall, ToolSpec};
use pullwright_providers::OllamaConfig;
use serde_json::{Value, json};
use url::Url;

use crate::client::request;
use crate::ollama_stream::{config, ollama, provenance};
use crate::recordings::{files, json};

fn test_config() -> OllamaConfig {
    config(Url::parse("http://127.0.0.1").unwrap())
}

fn text(request: &StreamRequest) -> String {
    String::from_utf8(ollama(test_config()).request_body(request).unwrap()).unwrap()
}

fn messages(items: Vec<Item>) -> Value {
    let mut request = request(items);
    request.system.clear();
    serde_json::from_str::<Value>(&text(&request)).unwrap()["messages"].take()
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

fn tool_call(id: &str) -> Content {
    Content::ToolCall(ToolCall {
        call_id: id.into(),
        name: "read".into(),
        arguments: r#"{"z":1.0}"#.into(),
    })
}

fn thinking(text: &str) -> Item {
    let content = Content::Reasoning { text: text.into() };
    native(content, &json!({ "thinking": text }).to_string())
}

fn said(text: &str) -> Item {
    let content = Content::Text { text: text.into() };
    native(content, &json!({ "content": text }).to_string())
}

const CALL: &str =
    r#"{ "id":"c", "function":{"index":0,"name":"read","arguments":{"z":1.0,"a":2}}}"#;

fn turns() -> Vec<Vec<Item>> {
    let mut all = vec![Item::user("start")];
    let mut turns = vec![all.clone()];
    for turn in 0..5 {
        let (first, second) = (format!("unnamed_call_{turn}"), format!("c{turn}"));
        all.extend([
            thinking("hm"),
            said("I look"),
            native(tool_call(&first), CALL),
            native(tool_call(&second), CALL),
            Item::tool_result(first, "fine", false),
            Item::tool_result(second, "", true),
        ]);
        turns.push(all.clone());
    }
    turns
}

#[test]
fn each_body_starts_with_the_one_before() {
    let bodies: Vec<String> = turns()
        .into_iter()
        .map(|items| text(&request(items)))
        .collect();
    for pair in bodies.windows(2) {
        let closed = pair[0].strip_suffix("]}").unwrap();
        assert!(pair[1].starts_with(closed), "{}\n{}", pair[0], pair[1]);
    }
}

#[test]
fn a_turn_of_the_model_goes_back_as_one_message_with_its_calls_byte_for_byte() {
    let body = text(&request(turns().pop().unwrap()));
    let turn = format!(
        r#"{{"role":"assistant","thinking":"hm","content":"I look","tool_calls":[{CALL},{CALL}]}}"#
    );
    assert_eq!(body.matches(&turn).count(), 5, "{body}");
    let results = r#"{"role":"tool","tool_name":"read","content":"fine"},{"role":"tool","tool_name":"read","tool_call_id":"c2","content":""}"#;
    assert!(body.contains(results), "{body}");
}

#[test]
fn what_cannot_be_said_in_order_begins_a_new_message() {
    let messages = messages(vec![
        Item::user("s"),
        said("one"),
        thinking("hm"),
        said("two"),
        said("three"),
        native(tool_call("c"), CALL),
        thinking("again"),
    ]);
    let shapes: Vec<Value> = messages.as_array().unwrap()[1..]
        .iter()
        .map(|message| {
            json!([
                message.get("thinking"),
                message["content"],
                message["tool_calls"].as_array().map(Vec::len)
            ])
        })
        .collect();
    let expected = [
        json!([null, "one", null]),
        json!(["hm", "two", null]),
        json!([null, "three", 1]),
        json!(["again", "", null]),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn what_another_model_said_goes_without_its_reasoning() {
    let mut items = turns().remove(1);
    for item in items.iter_mut().filter(|item| item.native.is_some()) {
        item.native.as_mut().unwrap().provenance.model = "another".into();
    }
    items.insert(2, Item::neutral(Content::Opaque));
    let call = json!({ "name": "read", "arguments": { "z": 1.0 } });
    let calls = json!([{ "function": call }, { "id": "c0", "function": call }]);
    let expected = json!({ "role": "assistant", "content": "I look", "tool_calls": calls });
    assert_eq!(messages(items)[1], expected);
}

#[test]
fn pictures_go_beside_the_text() {
    let image = Part::Image {
        media_type: "image/png".into(),
        data: "AAAA".into(),
    };
    let parts = vec![Part::text("see"), image];
    let user = Content::User {
        parts: parts.clone(),
    };
    let result = Content::ToolResult {
        call_id: "c".into(),
        parts,
        is_error: false,
    };
    let messages = messages(vec![
        Item::neutral(user),
        native(tool_call("c"), CALL),
        Item::neutral(result),
        Item::user(" "),
    ]);
    assert_eq!(
        messages[0],
        json!({ "role": "user", "content": "see", "images": ["AAAA"] })
    );
    let expected = json!({ "role": "tool", "tool_name": "read", "tool_call_id": "c", "content": "see", "images": ["AAAA"] });
    assert_eq!(messages[2], expected);
    assert_eq!(messages.as_array().unwrap().len(), 3);
}

#[test]
fn an_empty_conversation_is_refused() {
    let error = ollama(test_config())
        .request_body(&request(vec![]))
        .unwrap_err();
    assert_eq!(error.message, "the conversation is empty");
}

#[test]
fn nothing_is_cut_silently_and_limits_are_what_was_asked() {
    let mut asked = request(vec![Item::user("hi")]);
    asked.max_output_tokens = Some(77);
    let body: Value = serde_json::from_str(&text(&asked)).unwrap();
    assert_eq!(
        body["options"],
        json!({ "num_ctx": 9000, "num_predict": 77 })
    );
    assert_eq!(
        (&body["truncate"], &body["shift"]),
        (&json!(false), &json!(false))
    );
    assert_eq!((&body["stream"], body.get("think")), (&json!(true), None));
    for (effort, think) in [
        ("true", json!(true)),
        ("false", json!(false)),
        ("low", json!("low")),
    ] {
        let config = OllamaConfig {
            effort: Some(effort.into()),
            ..test_config()
        };
        let body = ollama(config).request_body(&asked).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap()["think"],
            think
        );
    }
}

#[test]
fn accepted_requests_are_reproduced_from_neutral_items() {
    for path in files("accepted-requests/ollama", |name| name.ends_with(".json")) {
        let accepted = &json(&path)["request"];
        let ours = StreamRequest {
            system: String::new(),
            tools: tools(accepted),
            ..request(conversation(accepted))
        };
        let system = accepted["messages"][0]["content"]
            .as_str()
            .unwrap()
            .to_owned();
        let body: Value = serde_json::from_str(&text(&StreamRequest { system, ..ours })).unwrap();
        let name = path.display();
        assert_eq!(
            body["messages"],
            without_types(&accepted["messages"]),
            "{name}"
        );
        assert_eq!(body["tools"], accepted["tools"], "{name}");
    }
}

/// The recorded conversation as the items that such a client of ours would hold.
fn conversation(accepted: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    let mut calls = 0;
    let mut answered = 0;
    for message in accepted["messages"].as_array().unwrap() {
        let content = message["content"].as_str().unwrap();
        match message["role"].as_str().unwrap() {
            "user" => items.push(Item::user(content)),
            "tool" => {
                items.push(Item::tool_result(
                    format!("unnamed_call_{answered}"),
                    content,
                    false,
                ));
                answered += 1;
            }
            "assistant" => {
                items.extend(message["thinking"].as_str().map(thinking));
                if !content.is_empty() {
                    items.push(said(content));
                }
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let call = ToolCall {
                        call_id: format!("unnamed_call_{calls}"),
                        name: call["function"]["name"].as_str().unwrap().into(),
                        arguments: call["function"]["arguments"].to_string(),
                    };
                    items.push(Item::neutral(Content::ToolCall(call)));
                    calls += 1;
                }
            }
            _ => {}
        }
    }
    items
}

fn tools(accepted: &Value) -> Vec<ToolSpec> {
    let tools = accepted["tools"].as_array().into_iter().flatten();
    tools
        .map(|tool| ToolSpec {
            name: tool["function"]["name"].as_str().unwrap().into(),
            description: tool["function"]["description"].as_str().unwrap().into(),
            input_schema: RawJson::from(&tool["function"]["parameters"]),
        })
        .collect()
}

/// Calls have a `type` there that the API's documentation does not have.
fn without_types(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().unwrap() {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            call.as_object_mut().unwrap().remove("type");
        }
    }
    messages
}
