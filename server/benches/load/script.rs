//! What the model says: it waits at the gate, talks and calls, and leaves a change behind.

use std::path::Path;

use serde_json::{Value, json};

use crate::gate::Gate;

/// How often it talks, with a call at the end of each.
const TURNS: usize = 5;

/// The pieces of a talk: ten a second, about forty tokens.
const PIECES: usize = 30;
const PIECE_MS: u64 = 100;
const PIECE: &str = "Next come the callers of this one, and ";

/// The longest that the tool takes.
const GATE_SEC: u64 = 600;

pub(crate) fn write(folder: &Path, gate: &Gate) {
    let wait = json!({"command": gate.command(), "timeout_sec": GATE_SEC});
    let mut replies = vec![reply(vec![json!({"text": "I wait."}), bash(&wait)])];
    replies.extend((0..TURNS).map(|turn| reply(talk(turn))));
    replies.push(reply(vec![json!({"text": "It is done."})]));
    let script = json!({ "replies": replies });
    std::fs::write(folder.join("script.json"), script.to_string()).unwrap();
}

fn talk(turn: usize) -> Vec<Value> {
    let piece = [json!({"text": PIECE}), json!({"delay_ms": PIECE_MS})];
    let mut steps: Vec<Value> = std::iter::repeat_n(piece, PIECES).flatten().collect();
    let command = format!("echo turn {turn} >> notes.txt; cat notes.txt");
    steps.push(bash(&json!({"command": command})));
    steps.push(json!({"usage": {"input_tokens": 5000, "output_tokens": 300}}));
    steps
}

fn bash(arguments: &Value) -> Value {
    json!({"tool_call": {"name": "bash", "arguments": arguments}})
}

fn reply(steps: Vec<Value>) -> Value {
    json!({ "steps": steps })
}
