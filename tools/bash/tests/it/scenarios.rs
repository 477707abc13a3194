//! Every folder below `tests/scenarios` is a call and what must come of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pullwright_tool_kit::Output;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Workspace, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    is_error: bool,
    /// The whole text.
    text: Option<String>,
    /// Parts of the text.
    #[serde(default)]
    contains: Vec<String>,
    /// The most bytes the text may have.
    max_bytes: Option<usize>,
    /// Some fields of the structured answer.
    #[serde(default)]
    structured: BTreeMap<String, Value>,
    /// A command to run before.
    setup: Option<String>,
    /// Programs without which the scenario is skipped.
    #[serde(default)]
    needs: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut scenarios: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scenarios.sort();
    assert!(scenarios.len() >= 25, "{} scenarios", scenarios.len());
    let mut failures = Vec::new();
    for scenario in scenarios {
        let name = scenario.file_name().unwrap().to_string_lossy().into_owned();
        if let Err(failure) = play(&scenario).await {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

async fn play(scenario: &Path) -> Result<(), String> {
    let workspace = Workspace::new();
    let root = workspace.root().to_string_lossy().into_owned();
    let read = |file: &str| {
        let text = fs::read_to_string(scenario.join(file)).unwrap();
        text.replace("$ROOT", &root)
    };
    let arguments: Value = serde_json::from_str(&read("call.json")).unwrap();
    let expected: Expected = serde_json::from_str(&read("expected.json")).unwrap();
    if let Some(missing) = expected.needs.iter().find(|program| !installed(program)) {
        eprintln!("SKIPPED {}: no {missing} here", scenario.display());
        return Ok(());
    }
    if let Some(setup) = &expected.setup {
        workspace.run(setup).await;
    }
    let output = match workspace.call(arguments).await {
        Ok(output) => output,
        Err(refusal) => Output::text(refusal.to_string()).as_error(),
    };
    if output.is_error && workspace.root().join("mark").exists() {
        return Err("refused, but run".to_owned());
    }
    expected.check(&output)
}

impl Expected {
    fn check(&self, output: &Output) -> Result<(), String> {
        let text = text(output);
        if output.is_error != self.is_error {
            return Err(format!("is_error is {}: {text}", output.is_error));
        }
        if let Some(expected) = &self.text
            && *expected != text
        {
            return Err(format!("expected {expected:?}\n     got {text:?}"));
        }
        if let Some(part) = self.contains.iter().find(|part| !text.contains(*part)) {
            return Err(format!("no {part:?}\n in {text:?}"));
        }
        if self.max_bytes.is_some_and(|max| text.len() > max) {
            return Err(format!("{} bytes", text.len()));
        }
        for (key, value) in &self.structured {
            let got = &output.structured.as_ref().ok_or("no structure")?[key];
            if got != value {
                return Err(format!("{key} is {got}, not {value}\n in {text:?}"));
            }
        }
        Ok(())
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
