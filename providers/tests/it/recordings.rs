//! Recorded traffic of real APIs, kept beside the workspace.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the recordings are, if not beside the workspace.
const VARIABLE: &str = "PULLWRIGHT_RECORDINGS";
/// Set to `1` where a missing folder must fail the tests.
const REQUIRE_VARIABLE: &str = "PULLWRIGHT_REQUIRE_RECORDINGS";

/// The files of a folder of recordings whose name passes `wanted`; none, visibly, without them.
pub(crate) fn files(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let root = root().join(folder);
    let Ok(entries) = std::fs::read_dir(&root) else {
        let required = std::env::var(REQUIRE_VARIABLE).is_ok_and(|value| value == "1");
        assert!(!required, "no recordings in {}", root.display());
        // Written past the test runner, which hides what a passing test prints.
        let note = format!("SKIPPED: no recordings in {}\n", root.display());
        std::io::stderr().write_all(note.as_bytes()).unwrap();
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| wanted(&path.file_name().unwrap().to_string_lossy()));
    files.sort();
    assert!(!files.is_empty(), "no recording fits in {}", root.display());
    files
}

fn root() -> PathBuf {
    match std::env::var_os(VARIABLE) {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings"),
    }
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The stream's bytes; a list of events is framed first.
pub(crate) fn stream_bytes(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    if path.to_string_lossy().ends_with(".sse") {
        return text.into_bytes();
    }
    let framed = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            format!(
                "event: {}\ndata: {line}\n\n",
                event["type"].as_str().unwrap()
            )
        });
    framed.collect::<String>().into_bytes()
}

pub(crate) fn expectation(path: &Path) -> Value {
    let path = PathBuf::from(format!("{}.expected.json", path.display()));
    json(&path)["expected"].clone()
}
