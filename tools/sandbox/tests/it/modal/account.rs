//! Whose account counts, by the rules of Modal's own clients.

use std::collections::BTreeMap;

use pullwright_sandbox::modal::{Account, AccountError};
use tempfile::TempDir;

const PROFILES: &str = r#"
[default]
token_id = "ak-default"
token_secret = "as-default"

[work]
token_id = "ak-work"
token_secret = "as-work"
environment = "dev"
server_url = "https://modal.example"
image_builder_version = "2025.06"

[half]
token_id = "ak-half"
"#;

struct Desk {
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Desk {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".modal.toml"), file).unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        Self {
            variables: BTreeMap::from([("HOME", home)]),
            folder,
        }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn find(&self) -> Result<Account, AccountError> {
        Account::find(|name| self.variables.get(name).cloned())
    }

    fn refusal(&self) -> String {
        let refusal = self.find().unwrap_err().to_string();
        assert!(!refusal.contains("as-"), "{refusal}");
        refusal
    }
}

#[test]
fn a_variable_counts_more_than_a_profile_and_a_named_one_more_than_the_active_one() {
    let default = Desk::new(PROFILES).find().unwrap();
    assert_eq!(default.token_id, "ak-default");
    assert_eq!(default.server, "https://api.modal.com");
    assert_eq!(default.environment, "");

    let active = PROFILES.replace("[work]", "[work]\nactive = true");
    let work = Desk::new(&active).find().unwrap();
    assert_eq!(
        (work.token_id.as_str(), work.environment.as_str()),
        ("ak-work", "dev")
    );
    assert_eq!(work.server, "https://modal.example");

    let named = Desk::new(&active)
        .set("MODAL_PROFILE", "default")
        .find()
        .unwrap();
    assert_eq!(named.token_id, "ak-default");

    let variables = Desk::new(&active)
        .set("MODAL_TOKEN_ID", "ak-variable")
        .set("MODAL_TOKEN_SECRET", "as-variable")
        .set("MODAL_ENVIRONMENT", "main")
        .set(
            "MODAL_SERVER_URL",
            "http://127.0.0.1:9, https://api.modal2.com",
        );
    let variables = variables.find().unwrap();
    assert_eq!(variables.token_id, "ak-variable");
    assert_eq!(variables.environment, "main");
    assert_eq!(variables.server, "http://127.0.0.1:9");
}

#[test]
fn another_file_can_be_named() {
    let desk = Desk::new("not toml at all");
    let other = desk.folder.path().join("other.toml");
    std::fs::write(&other, PROFILES).unwrap();
    let account = desk
        .set("MODAL_CONFIG_PATH", other.to_str().unwrap())
        .find();
    assert_eq!(account.unwrap().token_id, "ak-default");
}

#[test]
fn what_is_missing_is_told_in_the_words_of_modal_s_own_clients() {
    let cases = [
        (
            Desk::new(""),
            "Token missing. Could not authenticate client.",
        ),
        (
            Desk::new(PROFILES).set("MODAL_PROFILE", "half"),
            "Token ID and secret must both be configured.",
        ),
        (
            Desk::new("[a]\nactive = true\n[b]\nactive = true\n"),
            "More than one Modal profile is active.",
        ),
        (
            Desk::new(PROFILES).set("MODAL_PROFILE", "nobody"),
            "Modal profile 'nobody' was not found in ",
        ),
        (
            Desk::new("token = as-secret"),
            ".modal.toml cannot be read: ",
        ),
        (
            Desk::new(PROFILES).set("MODAL_SERVER_URL", "http://modal.example"),
            "would send the token in the clear; use https",
        ),
        (
            Desk::new(PROFILES).set("MODAL_SERVER_URL", "api.modal.com"),
            "MODAL_SERVER_URL `api.modal.com` is neither https nor http",
        ),
        (
            Desk::new(PROFILES).set("MODAL_MAX_THROTTLE_WAIT", "a while"),
            "MODAL_MAX_THROTTLE_WAIT `a while` is no number of seconds.",
        ),
    ];
    for (desk, expected) in cases {
        let refusal = desk.refusal();
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
}
