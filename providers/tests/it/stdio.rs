//! The serving side of the line codec.

use std::sync::Arc;

use pullwright_providers::{Script, ScriptedProvider, rpc_module, serve_lines};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::client::{bounded, request};

fn module(script: Value) -> jsonrpsee::Methods {
    let script = Script::from_json(&script.to_string()).unwrap();
    rpc_module(Arc::new(ScriptedProvider::new("s", "s", script))).into()
}

async fn answers(input: &str, module: jsonrpsee::Methods) -> (Vec<Value>, std::io::Result<()>) {
    let mut output = Vec::new();
    let served = bounded(serve_lines(module, input.as_bytes(), &mut output)).await;
    let lines = String::from_utf8(output).unwrap();
    (
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        served,
    )
}

fn empty_script() -> Value {
    json!({ "replies": [] })
}

#[tokio::test]
async fn one_request_by_hand_is_answered_before_the_end() {
    let line = "\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"provider.info\"}\n";
    let (answers, served) = answers(line, module(empty_script())).await;
    served.unwrap();
    assert_eq!(answers[0]["result"]["provenance"]["wire"], "scripted");
}

#[tokio::test]
async fn a_line_that_is_no_request_is_told_so() {
    let (answers, served) = answers("hello\n", module(empty_script())).await;
    served.unwrap();
    assert_eq!(answers[0]["error"]["code"], -32700);
    assert_eq!(answers[0]["id"], Value::Null);
}

#[tokio::test]
async fn half_a_request_is_an_error() {
    let (answers, served) = answers("{\"jsonrpc\":\"2.0\"", module(empty_script())).await;
    assert!(answers.is_empty());
    assert!(
        served
            .unwrap_err()
            .to_string()
            .contains("ends in the middle")
    );
}

#[tokio::test]
async fn the_end_of_the_input_ends_a_stream_that_hangs() {
    let script = json!({ "replies": [{ "steps": [{ "text": "a" }, "hang"] }] });
    let (their_input, mut input) = tokio::io::simplex(64 * 1024);
    let (output, their_output) = tokio::io::simplex(64 * 1024);
    let served = tokio::spawn(serve_lines(module(script), their_input, their_output));
    let params = serde_json::to_value(request(vec![])).unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "provider.stream", "params": params });
    input
        .write_all(format!("{call}\n").as_bytes())
        .await
        .unwrap();
    let mut lines = BufReader::new(output).lines();
    while !bounded(lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .contains(r#""type":"item""#)
    {}
    input.shutdown().await.unwrap();
    bounded(served).await.unwrap().unwrap();
}
