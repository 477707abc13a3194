//! The bare loop: the same exchange over HTTP and the same fork and exec, and nothing else.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::model::{COMMAND, Model, call_id};

/// Makes as many exchanges as the model has calls for, starting from `first`, the first request of a
/// real run. The conversation grows as it grows there.
pub(crate) fn run(model: &Model, first: &[u8], calls: usize) {
    let mut body: Value = serde_json::from_slice(first).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let client = client();
        for number in 0..calls {
            exchange(&client, model, &body).await;
            let output = spawn();
            extend(&mut body, number, &output);
        }
        exchange(&client, model, &body).await;
    });
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .tcp_nodelay(true)
        .build()
        .unwrap()
}

async fn exchange(client: &reqwest::Client, model: &Model, body: &Value) {
    let request = client
        .post(format!("http://{}/v1/messages", model.address))
        .header("content-type", "application/json")
        .body(serde_json::to_vec(body).unwrap());
    let reply = request.send().await.unwrap().bytes().await.unwrap();
    assert!(reply.ends_with(b"\"message_stop\"}\n\n"));
}

/// One fork and exec of the same shell with the same command.
pub(crate) fn spawn() -> String {
    let shell = Command::new("bash")
        .args(["--noprofile", "--norc", "-c", COMMAND])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(shell.stdout).unwrap()
}

fn extend(body: &mut Value, number: usize, output: &str) {
    let id = call_id(number);
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": [
        {"type": "text", "text": "Once more."},
        {"type": "tool_use", "id": id, "name": "bash", "input": {"command": COMMAND}},
    ]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": output.trim_end()}]},
    ]}));
}
