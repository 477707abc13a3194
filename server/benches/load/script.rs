//! What the model says: it waits at a gate, talks and calls, leaves a change behind, and waits at another gate.

use std::path::Path;

use serde_json::{Value, json};

use crate::gate::Gates;

/// How often it talks, with a call at the end of each.
const TURNS: usize = 5;

/// The pieces of a talk: ten a second, about forty tokens.
const PIECES: usize = 30;
const PIECE_MS: u64 = 100;
const PIECE: &str = "Next come the callers of this one, and ";

/// The longest that the tool takes.
const GATE_SEC: u64 = 600;

/// How far apart runs that pass the first gate may be, in milliseconds, as long as a turn takes: those of many
/// people do not march in step.
const MOST_APART_MS: u32 = 3000;

/// The number of the call with which a run waits at the end.
pub(crate) const LAST_CALL: usize = TURNS + 2;

pub(crate) fn write(folder: &Path, gates: &Gates) {
    let apart = format!("sleep $(shuf -n 1 -i 0-{MOST_APART_MS})e-3");
    let begin = format!("{} && {apart}", gates.work.command());
    let mut replies = vec![wait(&begin)];
    replies.extend((0..TURNS).map(|turn| reply(talk(turn))));
    replies.push(wait(&gates.end.command()));
    replies.push(reply(vec![json!({"text": "It is done."})]));
    let script = json!({ "replies": replies });
    std::fs::write(folder.join("script.json"), script.to_string()).unwrap();
}

fn wait(command: &str) -> Value {
    let call = bash(&json!({"command": command, "timeout_sec": GATE_SEC}));
    reply(vec![json!({"text": "I wait."}), call])
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
