//! The body of a request to Gemini.

use std::collections::HashMap;

use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item, Native, Part, RawJson, ToolCall, ToolSpec};
use pullwright_providers::GeminiConfig;
use serde_json::{Value, json};
use url::Url;

use crate::client::request;
use crate::gemini_stream::{config, gemini, provenance};
use crate::recordings::{files, json};

fn test_config() -> GeminiConfig {
    config(Url::parse("http://127.0.0.1").unwrap())
}

fn text(request: &StreamRequest) -> String {
    String::from_utf8(gemini(test_config()).request_body(request).unwrap()).unwrap()
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

fn tool_call(id: &str) -> Content {
    Content::ToolCall(ToolCall {
        call_id: id.into(),
        name: "read".into(),
        arguments: r#"{"z":1.0}"#.into(),
    })
}

const THOUGHT: &str = r#"{ "thought":true,  "text":"hm" }"#;
const SIGNED_CALL: &str =
    r#"{"thoughtSignature":"s/=", "functionCall":{"args":{"z":1.0,"a":2},"name":"read"}}"#;

fn turns() -> Vec<Vec<Item>> {
    let mut all = vec![Item::user("start")];
    let mut turns = vec![all.clone()];
    for turn in 0..5 {
        let (first, second) = (format!("unnamed_call_{turn}"), format!("c{turn}"));
        let thought = Content::Reasoning { text: "hm".into() };
        all.extend([
            native(thought, THOUGHT),
            native(tool_call(&first), SIGNED_CALL),
            native(
                tool_call(&second),
                r#"{"functionCall":{"id":"c","name":"read"}}"#,
            ),
            Item::tool_result(second, "", turn % 2 == 0),
            Item::tool_result(first, "fine", false),
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
fn what_the_model_said_goes_back_byte_for_byte_and_in_its_place() {
    let body = text(&request(turns().pop().unwrap()));
    let turn = format!(
        r#"{{"role":"model","parts":[{THOUGHT},{SIGNED_CALL},{{"functionCall":{{"id":"c","name":"read"}}}}]}}"#
    );
    assert_eq!(body.matches(&turn).count(), 5, "{body}");
}

#[test]
fn results_go_in_the_order_of_their_calls_and_echo_only_the_ids_of_the_api() {
    let body = body(turns().remove(2));
    let results = json!({ "role": "user", "parts": [
        { "functionResponse": { "name": "read", "response": { "output": "fine" } } },
        { "functionResponse": { "id": "c1", "name": "read", "response": { "output": "" } } },
    ] });
    assert_eq!(body["contents"][4], results);
    let failed = &body["contents"][2]["parts"][1]["functionResponse"];
    assert_eq!(failed["response"], json!({ "error": "" }));
}

#[test]
fn what_another_model_said_goes_without_its_reasoning_and_with_the_signature_for_that() {
    let mut items = turns().remove(1);
    let text = Content::Text {
        text: "I look".into(),
    };
    items.insert(1, native(text, r#"{"text":"I look"}"#));
    for item in items.iter_mut().filter(|item| item.native.is_some()) {
        item.native.as_mut().unwrap().provenance.model = "another".into();
    }
    items.insert(2, Item::neutral(Content::Opaque));
    let call = |id: Option<&str>| {
        let mut call = json!({ "name": "read", "args": { "z": 1.0 } });
        if let Some(id) = id {
            call["id"] = json!(id);
        }
        call
    };
    let said = json!({ "role": "model", "parts": [
        { "text": "I look" },
        { "functionCall": call(None), "thoughtSignature": "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=" },
        { "functionCall": call(Some("c0")) },
    ] });
    assert_eq!(body(items)["contents"][1], said);
}

#[test]
fn results_come_before_what_the_user_says_and_pictures() {
    let image = Part::Image {
        media_type: "image/png".into(),
        data: "AAAA".into(),
    };
    let result = Content::ToolResult {
        call_id: "a".into(),
        parts: vec![Part::text("seen"), image, Part::text("twice")],
        is_error: false,
    };
    let body = body(vec![
        Item::user("start"),
        native(tool_call("a"), SIGNED_CALL),
        Item::user("and hurry"),
        Item::neutral(result),
    ]);
    let contents = json!([
        { "role": "user", "parts": [{ "functionResponse": { "id": "a", "name": "read", "response": { "output": "seen\ntwice" } } }] },
        { "role": "user", "parts": [{ "text": "and hurry" }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } }] },
    ]);
    assert_eq!(json!(body["contents"].as_array().unwrap()[2..]), contents);
}

#[test]
fn a_result_without_its_call_is_told_as_text() {
    let body = body(vec![Item::tool_result("gone", "the words", false)]);
    assert_eq!(
        body["contents"],
        json!([{ "role": "user", "parts": [{ "text": "the words" }] }])
    );
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    for (arguments, expected) in [
        ("{\"a\":", json!({ "invalid_json": "{\"a\":" })),
        ("[1]", json!({ "invalid_json": "[1]" })),
        (" {\"a\":1} ", json!({ "a": 1 })),
    ] {
        let call = Content::ToolCall(ToolCall {
            call_id: "x".into(),
            name: "read".into(),
            arguments: arguments.into(),
        });
        let body = body(vec![Item::user("s"), Item::neutral(call)]);
        let args = &body["contents"][1]["parts"][0]["functionCall"]["args"];
        assert_eq!(*args, expected);
    }
}

#[test]
fn an_empty_conversation_is_refused() {
    let error = gemini(test_config())
        .request_body(&request(vec![]))
        .unwrap_err();
    assert_eq!(error.message, "the conversation is empty");
}

#[test]
fn limits_system_tools_and_thinking_are_what_was_asked() {
    let mut asked = request(vec![Item::user("hi")]);
    asked.max_output_tokens = Some(77);
    let body: Value = serde_json::from_str(&text(&asked)).unwrap();
    let thinking = json!({ "includeThoughts": true, "thinkingLevel": "high" });
    let settings = json!({ "maxOutputTokens": 77, "thinkingConfig": thinking });
    assert_eq!(body["generationConfig"], settings);
    assert_eq!(
        body["systemInstruction"],
        json!({ "parts": [{ "text": "You are a test." }] })
    );
    let schema = json!({ "type": "object", "properties": { "path": { "type": "string" } } });
    let tool =
        json!({ "name": "read", "description": "Reads a file.", "parametersJsonSchema": schema });
    assert_eq!(body["tools"], json!([{ "functionDeclarations": [tool] }]));
    asked.system.clear();
    asked.tools.clear();
    let body: Value = serde_json::from_str(&text(&asked)).unwrap();
    assert_eq!(
        (body.get("systemInstruction"), body.get("tools")),
        (None, None)
    );
}

#[test]
fn thinking_fits_the_model() {
    let cases = [
        (
            "gemini-3-pro-preview",
            Some("low"),
            json!({ "includeThoughts": true, "thinkingLevel": "low" }),
        ),
        (
            "gemini-2.5-flash",
            Some("8192"),
            json!({ "includeThoughts": true, "thinkingBudget": 8192 }),
        ),
        (
            "gemini-2.5-flash",
            Some("-1"),
            json!({ "includeThoughts": true, "thinkingBudget": -1 }),
        ),
        ("gemini-9", None, json!({ "includeThoughts": true })),
        ("gemini-2.0-flash", Some("high"), json!(null)),
        ("models/gemma-3-27b-it", None, json!(null)),
    ];
    for (model, effort, expected) in cases {
        let config = GeminiConfig {
            model: model.into(),
            effort: effort.map(str::to_owned),
            ..test_config()
        };
        let body = gemini(config)
            .request_body(&request(vec![Item::user("hi")]))
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body["generationConfig"]["thinkingConfig"], expected,
            "{model}"
        );
    }
}

#[test]
fn accepted_requests_are_reproduced_from_neutral_items() {
    for path in files("accepted-requests/gemini", |name| name.ends_with(".json")) {
        let accepted = &json(&path)["request"];
        let ours = StreamRequest {
            system: accepted["systemInstruction"]["parts"][0]["text"]
                .as_str()
                .unwrap_or_default()
                .into(),
            tools: tools(accepted),
            ..request(conversation(accepted))
        };
        let body: Value = serde_json::from_str(&text(&ours)).unwrap();
        let name = path.display();
        assert_eq!(contents(&body), contents(accepted), "{name}");
        assert_eq!(declarations(&body), declarations(accepted), "{name}");
        let system = "/systemInstruction/parts/0/text";
        assert_eq!(body.pointer(system), accepted.pointer(system), "{name}");
    }
}

/// The recorded conversation as the items that such a client of ours would hold.
fn conversation(accepted: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    let mut waiting: HashMap<String, Vec<String>> = HashMap::new();
    let mut calls = 0;
    for content in accepted["contents"].as_array().unwrap() {
        for part in content["parts"].as_array().unwrap() {
            let item = if let Some(call) = part.get("functionCall") {
                let name = call["name"].as_str().unwrap().to_owned();
                let ours = format!("unnamed_call_{calls}");
                let id = call["id"].as_str().map_or(ours, str::to_owned);
                calls += 1;
                waiting.entry(name.clone()).or_default().push(id.clone());
                let call = ToolCall {
                    call_id: id,
                    name,
                    arguments: call["args"].to_string(),
                };
                native(Content::ToolCall(call), &part.to_string())
            } else if let Some(result) = part.get("functionResponse") {
                let id = waiting
                    .get_mut(result["name"].as_str().unwrap())
                    .unwrap()
                    .remove(0);
                Item::tool_result(id, "the result", false)
            } else if content["role"] == "user" {
                Item::user(part["text"].as_str().unwrap())
            } else if let Some(text) = part["text"].as_str() {
                let content = Content::Text { text: text.into() };
                native(content, &part.to_string())
            } else {
                native(Content::Opaque, &part.to_string())
            };
            items.push(item);
        }
    }
    items
}

fn tools(accepted: &Value) -> Vec<ToolSpec> {
    let spec = |(name, (description, schema)): (String, (String, Value))| ToolSpec {
        name,
        description,
        input_schema: RawJson::from(&schema),
    };
    declarations(accepted).into_iter().map(spec).collect()
}

/// Name, description and schema of each function; the schema has had three keys.
fn declarations(body: &Value) -> Vec<(String, (String, Value))> {
    let tools = body["tools"].as_array().into_iter().flatten();
    let functions = tools.flat_map(|tool| {
        tool["functionDeclarations"]
            .as_array()
            .into_iter()
            .flatten()
    });
    let schema = |function: &Value| {
        let keys = [
            "parametersJsonSchema",
            "parameters_json_schema",
            "parameters",
        ];
        let schema = keys.iter().find_map(|key| function.get(*key));
        schema
            .cloned()
            .unwrap_or_else(|| json!({ "type": "object" }))
    };
    functions
        .map(|function| {
            let text = |key: &str| function[key].as_str().unwrap_or_default().to_owned();
            (text("name"), (text("description"), schema(function)))
        })
        .collect()
}

/// What must be the same: roles and parts, but for empty texts, which we leave out, the place of a
/// result among its turn's, and the results' own words, whose keys the API leaves to the client.
fn contents(body: &Value) -> Vec<Value> {
    let mut contents = body["contents"].as_array().unwrap().clone();
    for content in &mut contents {
        let parts = content["parts"].as_array_mut().unwrap();
        parts.retain(|part| part["text"] != "");
        for part in parts.iter_mut() {
            if part["thought"] == false {
                part.as_object_mut().unwrap().remove("thought");
            }
            if let Some(result) = part.get_mut("functionResponse") {
                result["response"] = json!({});
            }
        }
        if parts
            .iter()
            .all(|part| part.get("functionResponse").is_some())
        {
            parts.sort_by_key(Value::to_string);
        }
    }
    contents.retain(|content| content["parts"] != json!([]));
    contents
}
