//! `pullwright doctor`, as a person starts it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"
[agent]
provider = "first"
[budget]
max_usd = "none"
[repositories]
hosts = ["localhost"]
[providers.first]
wire_api = "anthropic_messages"
env_key = "PULLWRIGHT_TEST_FIRST_KEY"
model = "m"
[providers.second]
wire_api = "openai_chat"
base_url = "https://localhost"
env_key = "PULLWRIGHT_TEST_SECOND_KEY"
model = "m"
[sandbox]
kind = "KIND"
"#;

fn doctor(folder: &TempDir, config: &str, arguments: &[&str]) -> Output {
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, config).unwrap();
    start(&path, folder, arguments)
}

fn start(config: &Path, folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pullwright"))
        .args(["doctor", "--config"])
        .arg(config)
        .args(arguments)
        .env_remove("PULLWRIGHT_TEST_SECOND_KEY")
        .env_remove("MODAL_TOKEN_ID")
        .env_remove("MODAL_TOKEN_SECRET")
        .env("MODAL_CONFIG_PATH", "/nonexistent")
        .env("PULLWRIGHT_TEST_FIRST_KEY", "hunter2")
        .env("XDG_DATA_HOME", folder.path())
        .output()
        .unwrap()
}

fn state<'v>(report: &'v Value, name: &str) -> &'v Value {
    let sections = report["sections"].as_array().unwrap().iter();
    let mut findings = sections.flat_map(|section| section["findings"].as_array().unwrap());
    let found = findings.find(|finding| finding["name"] == name);
    &found.unwrap_or_else(|| panic!("there is no {name}"))["state"]
}

#[test]
fn it_says_whether_webhooks_can_start_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = |secrets: &str, forge: &str| {
        let section = format!("[webhooks.github]\nsecret_env = [{secrets}]\n{forge}");
        format!("{}{section}", CONFIG.replace("KIND", "none"))
    };
    let forge = "[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\n";
    let set = "\"PULLWRIGHT_TEST_FIRST_KEY\"";
    let unset = "\"PULLWRIGHT_TEST_SECOND_KEY\"";
    for (secrets, forge, expected) in [
        (set, forge, "ok"),
        (&format!("{set}, {unset}"), forge, "partial"),
        (set, "", "partial"),
        (unset, forge, "no"),
    ] {
        let ran = doctor(&folder, &config(secrets, forge), &["--json"]);
        let text = String::from_utf8(ran.stdout).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            state(&report, "webhooks of GitHub"),
            expected,
            "{secrets} {text}"
        );
        assert!(!text.contains("hunter2"));
    }
}

#[test]
fn it_says_what_is_there_and_never_what_a_key_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("KIND", "none");
    let ran = doctor(&folder, &config, &["--json"]);
    let text = String::from_utf8(ran.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert_eq!(report["works"], true);
    assert_eq!(state(&report, "plugins.toml"), "ok");
    assert_eq!(state(&report, "provider `first`"), "ok");
    assert_eq!(state(&report, "provider `second`"), "partial");
    assert_eq!(state(&report, "sandbox `none`"), "partial");
    assert_eq!(state(&report, "data folder"), "ok");
    assert_eq!(state(&report, "git"), "ok");
    assert!(!text.contains("hunter2"));

    let shown = doctor(&folder, &config, &[]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(
        shown.contains("PULLWRIGHT_TEST_SECOND_KEY is not set"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2") && !shown.contains('\u{1b}'));
}

#[test]
fn it_fails_where_the_configured_sandbox_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let ran = doctor(&folder, &CONFIG.replace("KIND", "modal"), &[]);
    let shown = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{shown}");
    assert!(shown.contains("no       sandbox `modal`"), "{shown}");
    assert!(shown.contains("Token missing"), "{shown}");
    assert!(shown.ends_with("Runs cannot start here.\n"), "{shown}");
}

#[test]
fn it_looks_at_the_machine_even_where_the_configuration_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let ran = doctor(&folder, "[agnet]\n", &[]);
    let shown = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("agnet") && shown.contains("kernel"),
        "{shown}"
    );
    let missing = start(Path::new("/nonexistent/plugins.toml"), &folder, &[]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn the_key_of_a_github_app_is_looked_for_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("there.pem");
    std::fs::write(key, "hunter2").unwrap();
    let keys = [
        ("app_key_env = 'PULLWRIGHT_TEST_FIRST_KEY'", "ok"),
        ("app_key_env = 'PULLWRIGHT_TEST_SECOND_KEY'", "no"),
        ("app_key_file = 'there.pem'", "ok"),
        ("app_key_file = 'absent.pem'", "no"),
    ];
    for (key, expected) in keys {
        let row =
            format!("\n[tools.forge]\nbuiltin = 'github'\nruns = 'host'\napp_id = 1\n{key}\n");
        let ran = doctor(
            &folder,
            &(CONFIG.replace("KIND", "none") + &row),
            &["--json"],
        );
        let text = String::from_utf8(ran.stdout).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(state(&report, "tool `forge`"), expected, "{text}");
        assert!(!text.contains("hunter2"));
    }
}
