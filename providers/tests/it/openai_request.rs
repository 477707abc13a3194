//! The body of a request to Chat Completions and to the Responses API.

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, Native, Part, RawJson, ToolCall, ToolSpec};
use pullwright_providers::{CacheKey, CallIdForm, ChatQuirks, EffortKey, LimitKey, OpenAiConfig};
use serde_json::{Value, json};
use url::Url;

use crate::client::request;
use crate::openai_stream::{chat, config, provenance, responses};
use crate::recordings::{files, json};

fn test_config() -> OpenAiConfig {
    config(Url::parse("http://127.0.0.1").unwrap())
}

fn with(quirks: ChatQuirks) -> OpenAiConfig {
    OpenAiConfig {
        quirks,
        ..test_config()
    }
}

fn chat_body(config: OpenAiConfig, request: &StreamRequest) -> Value {
    serde_json::from_slice(&chat(config).request_body(request).unwrap()).unwrap()
}

fn responses_body(request: &StreamRequest) -> Value {
    serde_json::from_slice(&responses(test_config()).request_body(request).unwrap()).unwrap()
}

fn native(wire: &str, content: Content, json: &Value) -> Item {
    Item {
        content,
        native: Some(Native {
            provenance: provenance(wire),
            json: RawJson::from(json),
        }),
    }
}

fn call(id: &str, arguments: &str) -> Content {
    Content::ToolCall(ToolCall {
        call_id: id.into(),
        name: "read".into(),
        arguments: arguments.into(),
    })
}

fn image() -> Part {
    Part::Image {
        media_type: "image/png".into(),
        data: "aGk=".into(),
    }
}

fn result_with_image(id: &str) -> Item {
    Item::neutral(Content::ToolResult {
        call_id: id.into(),
        parts: vec![
            Part::Text {
                text: "seen".into(),
            },
            image(),
        ],
        is_error: false,
    })
}

#[test]
fn a_chat_asks_for_what_was_configured() {
    let mut asked = request(vec![Item::user("hi")]);
    let body = chat_body(test_config(), &asked);
    assert_eq!(body["model"], "gpt-test");
    assert_eq!(body["max_tokens"], 1000);
    assert_eq!(body["reasoning_effort"], "high");
    assert_eq!(body["stream_options"], json!({ "include_usage": true }));
    assert_eq!(body["tools"][0]["function"]["name"], "read");
    assert_eq!(
        body["messages"],
        json!([
            { "role": "system", "content": "You are a test." },
            { "role": "user", "content": "hi" },
        ])
    );
    asked.max_output_tokens = Some(77);
    assert_eq!(chat_body(test_config(), &asked)["max_tokens"], 77);
}

#[test]
fn each_quirk_changes_what_it_says() {
    let asked = request(vec![Item::user("hi")]);
    let body = chat_body(
        with(ChatQuirks {
            limit_key: LimitKey::MaxCompletionTokens,
            effort_key: EffortKey::Reasoning,
            no_stream_options: true,
            cache: CacheKey::PromptCacheKey,
            ..ChatQuirks::default()
        }),
        &asked,
    );
    assert_eq!(body["max_completion_tokens"], 1000);
    assert_eq!(body.get("max_tokens"), None);
    assert_eq!(body["reasoning"], json!({ "effort": "high" }));
    assert_eq!(body.get("reasoning_effort"), None);
    assert_eq!(body.get("stream_options"), None);
    assert!(body["prompt_cache_key"].as_str().unwrap().len() <= 64);
    let body = chat_body(
        with(ChatQuirks {
            effort_key: EffortKey::Thinking,
            cache: CacheKey::CacheControl,
            ..ChatQuirks::default()
        }),
        &asked,
    );
    assert_eq!(body["thinking"], json!({ "type": "enabled" }));
    assert_eq!(body["reasoning_effort"], "high");
    assert_eq!(body["cache_control"], json!({ "type": "ephemeral" }));
}

#[test]
fn thinking_can_be_switched_off() {
    let mut config = with(ChatQuirks {
        effort_key: EffortKey::Thinking,
        ..ChatQuirks::default()
    });
    config.effort = Some("none".into());
    let body = chat_body(config, &request(vec![Item::user("hi")]));
    assert_eq!(body["thinking"], json!({ "type": "disabled" }));
    assert_eq!(body.get("reasoning_effort"), None);
}

#[test]
fn a_service_that_wants_reasoning_with_every_call_gets_it() {
    let quirks = ChatQuirks {
        needs_reasoning: true,
        ..ChatQuirks::default()
    };
    let reasoning = Content::Reasoning { text: "why".into() };
    let items = vec![
        Item::user("hi"),
        Item::neutral(call("a", "{}")),
        Item::tool_result("a", "done", false),
        native(
            "openai_chat",
            reasoning,
            &json!({ "reasoning_content": "why" }),
        ),
        Item::neutral(call("b", "{}")),
        Item::tool_result("b", "done", false),
    ];
    let body = chat_body(with(quirks), &request(items));
    assert_eq!(body["messages"][2]["reasoning_content"], "");
    assert_eq!(body["messages"][4]["reasoning_content"], "why");
}

#[test]
fn a_message_is_never_thought_alone_and_results_follow_their_calls_at_once() {
    let thought = || {
        let content = Content::Reasoning { text: "why".into() };
        native(
            "openai_chat",
            content,
            &json!({ "reasoning_content": "why" }),
        )
    };
    let text = || {
        Item::neutral(Content::Text {
            text: "done".into(),
        })
    };
    let items = vec![
        Item::user("task"),
        thought(),
        Item::user("go on"),
        Item::neutral(call("c1", "{}")),
        text(),
        Item::tool_result("c1", "a", false),
        thought(),
        text(),
    ];
    let body = chat_body(test_config(), &request(items));
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "user", "assistant", "tool", "assistant"],
        "{body}"
    );
    assert_eq!(messages[3]["content"], "done");
    assert_eq!(messages[3]["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(messages[5]["reasoning_content"], "why");
}

#[test]
fn ids_fit_the_service() {
    let long = "x".repeat(200);
    let items = vec![
        Item::user("hi"),
        Item::neutral(call("toolu_01", "{}")),
        Item::neutral(call(&long, "{}")),
        Item::tool_result("toolu_01", "1", false),
        Item::tool_result(long, "2", false),
    ];
    let quirks = ChatQuirks {
        call_ids: CallIdForm::NineCharacters,
        ..ChatQuirks::default()
    };
    for (config, most) in [(test_config(), 40), (with(quirks), 9)] {
        let body = chat_body(config, &request(items.clone()));
        let messages = &body["messages"];
        for (index, answer) in [(0, 3), (1, 4)] {
            let id = &messages[2]["tool_calls"][index]["id"];
            assert!(id.as_str().unwrap().len() <= most, "{id}");
            assert_eq!(messages[answer]["tool_call_id"], *id);
        }
        assert_ne!(
            messages[2]["tool_calls"][0]["id"],
            messages[2]["tool_calls"][1]["id"]
        );
    }
}

#[test]
fn images_of_results_come_after_all_results() {
    let items = vec![
        Item::user("hi"),
        Item::neutral(call("a", "{}")),
        Item::neutral(call("b", "{}")),
        result_with_image("a"),
        Item::tool_result("b", "2", false),
    ];
    let body = chat_body(test_config(), &request(items.clone()));
    let roles: Vec<&str> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "tool", "user"]
    );
    assert_eq!(
        body["messages"][5]["content"][1],
        json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=" } })
    );
    let blind = with(ChatQuirks {
        no_images: true,
        ..ChatQuirks::default()
    });
    let body = chat_body(blind, &request(items.clone())).to_string();
    assert!(
        !body.contains("image_url") && body.contains("cannot see"),
        "{body}"
    );
    let body = responses_body(&request(items));
    assert_eq!(
        body["input"][3]["output"],
        json!([
            { "type": "input_text", "text": "seen" },
            { "type": "input_image", "image_url": "data:image/png;base64,aGk=" },
        ])
    );
}

#[test]
fn a_result_without_its_call_is_not_lost() {
    let items = vec![Item::user("hi"), Item::tool_result("gone", "words", false)];
    let body = chat_body(test_config(), &request(items.clone()));
    assert_eq!(
        body["messages"][1]["content"],
        json!([{ "type": "text", "text": "hi" }, { "type": "text", "text": "words" }])
    );
    let body = responses_body(&request(items));
    assert_eq!(body["input"][1]["content"][0]["text"], "words");
}

#[test]
fn half_arguments_go_back_as_an_object() {
    let json = json!({ "id": "a", "type": "function", "function": { "name": "read", "arguments": "{\"pa" } });
    let items = vec![
        Item::user("hi"),
        native("openai_chat", call("a", "{\"pa"), &json),
        Item::tool_result("a", "no JSON", true),
    ];
    let body = chat_body(test_config(), &request(items));
    let arguments = &body["messages"][2]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(*arguments, json!(r#"{"invalid_json":"{\"pa"}"#));
}

#[test]
fn what_another_provider_thought_is_not_sent() {
    let reasoning = || Content::Reasoning { text: "why".into() };
    let foreign = native(
        "elsewhere",
        reasoning(),
        &json!({ "reasoning_content": "why" }),
    );
    let items = vec![
        Item::user("hi"),
        foreign,
        Item::neutral(Content::Text { text: "so".into() }),
        Item::user("on"),
    ];
    assert!(
        !chat_body(test_config(), &request(items.clone()))
            .to_string()
            .contains("why")
    );
    let body = responses_body(&request(items));
    assert_eq!(
        body["input"][1],
        json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "so" }] })
    );
}

#[test]
fn a_response_asks_for_what_was_configured() {
    let body = responses_body(&request(vec![Item::user("hi")]));
    assert_eq!(body["store"], false);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(
        body["reasoning"],
        json!({ "effort": "high", "summary": "auto" })
    );
    assert_eq!(body["instructions"], "You are a test.");
    assert_eq!(body["tools"][0]["strict"], false);
    let mut old = test_config();
    old.model = "gpt-4.1".into();
    let body = responses(old)
        .request_body(&request(vec![Item::user("hi")]))
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
}

#[test]
fn reasoning_goes_back_only_with_what_it_led_to() {
    let wire = "openai_responses";
    let reasoning = |id: &str| {
        let content = Content::Reasoning {
            text: String::new(),
        };
        native(
            wire,
            content,
            &json!({ "type": "reasoning", "id": id, "summary": [] }),
        )
    };
    let function = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "read", "arguments": "{}" });
    let items = vec![
        Item::user("hi"),
        reasoning("r1"),
        reasoning("r2"),
        native(wire, call("a", "{}"), &function),
        Item::tool_result("a", "1", false),
        reasoning("r3"),
        Item::user("go on"),
    ];
    let body = responses_body(&request(items));
    let ids: Vec<&str> = body["input"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["id"].as_str())
        .collect();
    assert_eq!(ids, ["r1", "r2", "fc"]);
}

#[test]
fn a_freeform_call_gets_a_freeform_result() {
    let custom = json!({ "type": "custom_tool_call", "id": "ctc", "call_id": "a", "name": "apply_patch", "input": "*** Begin" });
    let mut asked = request(vec![
        Item::user("hi"),
        native(
            "openai_responses",
            call("a", r#"{"input":"*** Begin"}"#),
            &custom,
        ),
        Item::tool_result("a", "done", false),
    ]);
    asked.tools.push(ToolSpec {
        name: "apply_patch".into(),
        description: "Patches.".into(),
        input_schema: RawJson::from(&json!({ "type": "object", "x-freeform": "input" })),
    });
    let body = responses_body(&asked);
    assert_eq!(body["input"][1], custom);
    assert_eq!(
        body["input"][2],
        json!({ "type": "custom_tool_call_output", "call_id": "a", "output": "done" })
    );
    assert_eq!(
        body["tools"][1],
        json!({ "type": "custom", "name": "apply_patch", "description": "Patches." })
    );
}

#[test]
fn an_empty_conversation_is_refused() {
    let error = chat(test_config())
        .request_body(&request(vec![]))
        .unwrap_err();
    assert_eq!(error.message, "the conversation is empty");
    let error = responses(test_config())
        .request_body(&request(vec![]))
        .unwrap_err();
    assert_eq!(error.message, "the conversation is empty");
}

/// The words of a text or of its parts.
fn words(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// The neutral items of a chat, the assistant's as they would have come from the service.
fn chat_items(messages: &[Value]) -> Vec<Item> {
    let wire = "openai_chat";
    let mut items = Vec::new();
    for message in messages {
        let text = words(&message["content"]);
        match message["role"].as_str().unwrap() {
            "user" => items.push(Item::user(text)),
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap();
                items.push(Item::tool_result(id, text, false));
            }
            "assistant" => {
                for key in ["reasoning_content", "reasoning", "reasoning_details"] {
                    if let Some(reasoning) = message.get(key) {
                        let content = Content::Reasoning {
                            text: String::new(),
                        };
                        items.push(native(wire, content, &json!({ key: reasoning })));
                    }
                }
                if !text.is_empty() {
                    items.push(native(
                        wire,
                        Content::Text { text: text.clone() },
                        &json!({ "content": text }),
                    ));
                }
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let arguments = call["function"]["arguments"].as_str().unwrap();
                    let id = call["id"].as_str().unwrap();
                    items.push(native(wire, self::call(id, arguments), call));
                }
            }
            _ => {}
        }
    }
    items
}

/// What must be the same: roles, words, reasoning and calls, whether a text is a list of one or not.
fn chat_shape(body: &Value) -> Vec<Value> {
    let shape = |message: &Value| {
        let mut shape = message.clone();
        shape["content"] = json!(words(&message["content"]));
        // Our own choice, which asks nothing of the model.
        shape.as_object_mut().unwrap().remove("prefix");
        shape
    };
    body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(shape)
        .collect()
}

#[test]
fn accepted_chats_are_what_we_would_send() {
    for folder in ["openai-chat", "mistral-chat", "openrouter-chat"] {
        for path in files(&format!("accepted-requests/{folder}"), |name| {
            name.ends_with(".json")
        }) {
            let accepted = json(&path)["request"].take();
            let messages = accepted["messages"].as_array().unwrap();
            let mut asked = request(chat_items(messages));
            let systems = messages
                .iter()
                .filter(|message| message["role"] == "system");
            asked.system = systems.map(|message| words(&message["content"])).collect();
            let body = chat_body(test_config(), &asked);
            let mut expected = chat_shape(&accepted);
            let first = expected
                .iter()
                .position(|message| message["role"] != "system")
                .unwrap();
            expected.drain(..first);
            let mut ours = chat_shape(&body);
            ours.retain(|message| message["role"] != "system");
            assert_eq!(ours, expected, "{}", path.display());
        }
    }
}

/// The neutral items of an input, the model's as they would have come from the API.
fn response_items(input: &[Value]) -> Vec<Item> {
    let wire = "openai_responses";
    let item = |item: &Value| {
        let text = || words(&item["content"]);
        let kind = item["type"].as_str().unwrap_or("message");
        let content = match (kind, item["role"].as_str()) {
            ("message", Some("assistant")) => Content::Text { text: text() },
            ("message", _) => return parts_of_user(&item["content"]),
            ("function_call", _) => call(
                item["call_id"].as_str().unwrap(),
                item["arguments"].as_str().unwrap(),
            ),
            ("function_call_output", _) => {
                return Item::tool_result(
                    item["call_id"].as_str().unwrap(),
                    words(&item["output"]),
                    false,
                );
            }
            ("reasoning", _) => Content::Reasoning {
                text: String::new(),
            },
            _ => Content::Opaque,
        };
        native(wire, content, item)
    };
    input.iter().map(item).collect()
}

fn parts_of_user(content: &Value) -> Item {
    let texts = match content {
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .map(str::to_owned)
            .collect(),
        other => vec![other.as_str().unwrap().to_owned()],
    };
    let parts = texts.into_iter().map(|text| Part::Text { text });
    Item::neutral(Content::User {
        parts: parts.collect(),
    })
}

/// What must be the same: kinds, roles, words, and every key of what the model said. Files and
/// pictures of users, which the loop has no way to say, are left out.
fn response_shape(input: &Value) -> Vec<Value> {
    let shape = |item: &Value| match (
        item["type"].as_str().unwrap_or("message"),
        item["role"].as_str(),
    ) {
        ("message", Some("user" | "system")) => json!({ "user": words(&item["content"]) }),
        ("function_call_output", _) => {
            json!({ "output": words(&item["output"]), "call": item["call_id"] })
        }
        _ => item.clone(),
    };
    let mut shapes: Vec<Value> = input.as_array().unwrap().iter().map(shape).collect();
    shapes.retain(|shape| shape["user"] != "");
    shapes
}

#[test]
fn accepted_inputs_are_what_we_would_send() {
    for path in files("accepted-requests/openai-responses", |name| {
        name.ends_with(".json")
    }) {
        let accepted = json(&path)["request"].take();
        let input = accepted["input"].as_array().unwrap();
        // Where the service kept the calls itself, which we never ask it to.
        if accepted.get("previous_response_id").is_some() {
            continue;
        }
        let body = responses_body(&request(response_items(input)));
        assert_eq!(
            response_shape(&body["input"]),
            response_shape(&accepted["input"]),
            "{}",
            path.display()
        );
    }
}
