//! Runs every folder of `tests/scenarios`. A new case is a new folder:
//!
//! - `before/`: the files to start with, if any.
//! - `calls.json`: `setup`, things that git cannot hold (odd bytes, links, modes) by path, made
//!   inside the workspace or, with `../`, beside it; `calls`, the tool calls in order.
//! - `expected.json`: `answers`, one for each call; `after`, odd things by path.
//! - `after/`: the files at the end, if other than `before/`.
//!
//! What neither `after` names must be as it was: bytes, mode and time. `$ROOT` is the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{Call, Output};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tree::{self, Expected, Snapshot, Thing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    #[serde(default)]
    setup: BTreeMap<PathBuf, Thing>,
    calls: Vec<ToolCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    tool: String,
    arguments: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    answers: Vec<Answer>,
    #[serde(default)]
    after: BTreeMap<PathBuf, Thing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    is_error: bool,
    equals: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    image: Option<String>,
}

#[tokio::test]
async fn every_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut scenarios: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    scenarios.sort();
    assert!(
        scenarios.len() >= 30,
        "only {} scenarios were found",
        scenarios.len()
    );
    let mut failed = Vec::new();
    for scenario in scenarios {
        let name = scenario.file_name().unwrap().to_str().unwrap().to_owned();
        if let Err(error) = tokio::spawn(async move { run(&scenario).await }).await {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn run(scenario: &Path) {
    let temp = tempfile::tempdir().unwrap();
    let base = temp.path().canonicalize().unwrap();
    let root = base.join("workspace");
    fs::create_dir(&root).unwrap();
    let calls: Calls = parse(&scenario.join("calls.json"), &root);
    let outcome: Outcome = parse(&scenario.join("expected.json"), &root);
    tree::copy(&scenario.join("before"), &root);
    for (path, thing) in &calls.setup {
        thing.make(&root.join(path), &root);
    }

    let before = tree::snapshot(&base);
    let server = pullwright_fs::server(root);
    assert_eq!(
        calls.calls.len(),
        outcome.answers.len(),
        "one answer for each call"
    );
    for (call, expected) in calls.calls.into_iter().zip(&outcome.answers) {
        let Value::Object(arguments) = call.arguments else {
            panic!("arguments are an object")
        };
        let output = server.call(&call.tool, arguments, Call::detached()).await;
        expected.check(&output.unwrap_or_else(|refusal| Output::text(refusal.0).as_error()));
    }
    check_tree(scenario, &outcome, before, tree::snapshot(&base));
}

fn parse<T: DeserializeOwned>(path: &Path, root: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = text.replace("$ROOT", root.to_str().unwrap());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check_tree(scenario: &Path, outcome: &Outcome, mut before: Snapshot, mut after: Snapshot) {
    let mut expected = BTreeMap::new();
    let unchanged = tree::files(&scenario.join("before"));
    for (path, bytes) in tree::files(&scenario.join("after")) {
        if unchanged.get(&path) != Some(&bytes) {
            let path = Path::new("workspace").join(path);
            let file = Expected::of_bytes(&bytes, before.get(&path));
            expected.insert(path, Some(file));
        }
    }
    for (path, thing) in &outcome.after {
        let path = Path::new("workspace").join(path);
        let file = (!thing.absent).then(|| thing.expected(before.get(&path)));
        expected.insert(path, file);
    }
    for (path, file) in expected {
        match file {
            Some(file) => file.check(&path, after.get(&path)),
            None => assert!(!after.contains_key(&path), "{} is there", path.display()),
        }
        // With the file, the folders on the way to it are settled.
        for path in path.ancestors() {
            before.remove(path);
            after.remove(path);
        }
    }
    assert_eq!(before, after, "everything else is as it was");
}

impl Answer {
    fn check(&self, output: &Output) {
        let (text, image) = parts(output);
        assert_eq!(self.is_error, output.is_error, "isError of: {text}");
        if let Some(equals) = &self.equals {
            assert_eq!(equals, &text);
        }
        for part in &self.contains {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        for part in &self.lacks {
            assert!(!text.contains(part), "{part:?} is in: {text}");
        }
        assert_eq!(self.image.as_deref(), image.as_deref());
    }
}

fn parts(output: &Output) -> (String, Option<String>) {
    let (mut text, mut image) = (String::new(), None);
    for part in &output.parts {
        match part {
            Part::Text { text: more } => text.push_str(more),
            Part::Image { media_type, .. } => image = Some(media_type.clone()),
        }
    }
    (text, image)
}
