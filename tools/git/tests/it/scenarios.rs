//! A folder of `tests/scenarios` is a case: `setup.sh` makes a repository with the real git,
//! `call.json` is the call and the git commands to run after it, `expected.json` is what both give.
//!
//! `UPDATE_SCENARIOS=1 cargo test scenarios` writes the expectations anew; read the difference.

use std::fs;
use std::path::Path;
use std::process::Command;

use pullwright_git::server;
use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{Call, Output};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::repository::git;

#[derive(Deserialize)]
struct Case {
    tool: String,
    arguments: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    after: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Expected {
    is_error: bool,
    text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
}

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(
        cases.len() >= 15,
        "only {} scenarios were found",
        cases.len()
    );
    let wrong: Vec<_> = cases.iter().filter_map(|case| check(case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(folder: &Path) -> Option<String> {
    let actual = play(folder);
    let file = folder.join("expected.json");
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&actual).unwrap() + "\n").unwrap();
    }
    let expected =
        fs::read_to_string(&file).unwrap_or_else(|_| panic!("{} is missing", file.display()));
    let expected: Expected = serde_json::from_str(&expected).unwrap();
    (actual != expected).then(|| {
        format!(
            "{}\nexpected {expected:#?}\nactual {actual:#?}",
            folder.display()
        )
    })
}

fn play(folder: &Path) -> Expected {
    let home = TempDir::new().unwrap();
    let root = home.path().join("work");
    fs::create_dir(&root).unwrap();
    set_up(&root, folder);
    let case: Case =
        serde_json::from_str(&fs::read_to_string(folder.join("call.json")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer =
        runtime.block_on(server(root.clone()).call(&case.tool, case.arguments, Call::detached()));
    let (is_error, text) = match answer {
        Ok(output) => (output.is_error, text_of(&output)),
        Err(refusal) => (true, refusal.0),
    };
    let after = case
        .after
        .iter()
        .map(|command| git(&root, &command.split(' ').collect::<Vec<_>>()));
    Expected {
        is_error,
        text: masked(&text, &root),
        after: after.collect(),
    }
}

fn set_up(root: &Path, folder: &Path) {
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let status = Command::new("sh")
        .args(["-eu"])
        .arg(folder.join("setup.sh"))
        .current_dir(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_AUTHOR_NAME", "Ada"),
            ("GIT_AUTHOR_EMAIL", "ada@example.com"),
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@example.com"),
            ("GIT_AUTHOR_DATE", "1750000000 +0000"),
            ("GIT_COMMITTER_DATE", "1750000000 +0000"),
        ])
        .status()
        .unwrap();
    assert!(status.success(), "the setup of {} failed", folder.display());
}

fn text_of(output: &Output) -> String {
    let texts = output.parts.iter().map(|part| match part {
        Part::Text { text } => text.as_str(),
        Part::Image { .. } => "(image)",
    });
    texts.collect()
}

/// Without what differs from one run to the next: the folder, and the id of a commit made now.
fn masked(text: &str, root: &Path) -> String {
    let text = text.replace(root.to_str().unwrap(), "<root>");
    match text.strip_prefix("committed ") {
        Some(rest) => format!("committed <id>{}", &rest[10..]),
        None => text,
    }
}
