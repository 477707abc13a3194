//! A provider in this process and the same provider as a plugin.

use serde_json::Value;

use super::lab::{Lab, PROGRAM, Plan};
use super::redact::redact;

const SCRIPT: &str = r#"
verify_replay = true
[[replies]]
steps = [
  { thinking = "I look first." },
  { text = "Reading." },
  { tool_call = { name = "read", arguments = { path = "src/greeting.txt" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "good morning" } } },
  { usage = { input_tokens = 100, cached_tokens = 40, output_tokens = 20 } },
]
[[replies]]
expect = { results_are_errors = false }
steps = [
  { fault = { kind = "overloaded", attempts = 1, retry_after_ms = 1 } },
  { tool_call = { name = "bash", arguments = { command = "test -s src/greeting.txt" } } },
  { tool_call = { name = "reed", arguments = { path = "src/greeting.txt" } } },
]
[[replies]]
steps = [{ text = "Greet politely" }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_plugin_gives_the_very_same_log() {
    let in_process = Lab::start(Plan {
        script: SCRIPT,
        ..Plan::default()
    });
    let plugin = format!(
        "[providers.script]\ncommand = \"{PROGRAM}\"\nargs = [\"provider\", \"--name\", \
         \"script\", \"--script\", \"{{SCRIPT}}\"]\n"
    );
    // The path of the script is known once the folder is there.
    let script_file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(script_file.path(), SCRIPT).expect("write the script");
    let path = script_file.path().to_str().expect("UTF-8");
    let plugin = plugin.replace("{SCRIPT}", path);
    let as_plugin = Lab::start(Plan {
        config: &plugin,
        ..Plan::default()
    });
    let in_process = log_of(&in_process.await).await;
    let as_plugin = log_of(&as_plugin.await).await;
    assert!(in_process.len() > 20, "{in_process:#?}");
    assert_eq!(in_process, as_plugin);
}

async fn log_of(lab: &Lab) -> Vec<String> {
    let played = lab.run().await;
    played.ended("branch only");
    let events = lab.events(&played.id).await;
    let events = events.iter().map(|event| {
        let json: Value = serde_json::to_value(event).expect("JSON");
        redact(lab, &played.id, &json).to_string()
    });
    events.collect()
}
