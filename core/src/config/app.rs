//! A GitHub App: whose id stands in the row, and whose key is only named there.

use std::path::PathBuf;

use super::ConfigError;
use super::section::Section;
use super::tool::ToolLink;
use super::value::integer;

/// A GitHub App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppConfig {
    /// Its id, or its client id.
    pub id: String,
    /// Where its private key is.
    pub key: AppKey,
    /// Whether its tokens may push files under `.github/workflows`.
    pub workflows: bool,
    /// Whether its tokens are for talking with people, and not for pushing. No key says so: whoever talks does.
    pub talks: bool,
}

/// Where an App's private key is, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppKey {
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

impl AppConfig {
    /// The variable that holds the key, if it is in one.
    #[must_use]
    pub fn variable(&self) -> Option<&String> {
        match &self.key {
            AppKey::Variable(variable) => Some(variable),
            AppKey::File(_) => None,
        }
    }
}

const ID: &str = "app_id";
const KEY_ENV: &str = "app_key_env";
const KEY_FILE: &str = "app_key_file";
const WORKFLOWS: &str = "app_workflows";

pub(super) fn read(
    section: &Section<'_>,
    link: &ToolLink,
) -> Result<Option<AppConfig>, ConfigError> {
    let all = [ID, KEY_ENV, KEY_FILE, WORKFLOWS];
    let Some(present) = all.into_iter().find(|key| section.has(key)) else {
        return Ok(None);
    };
    if *link != ToolLink::Builtin("github".to_owned()) {
        return Err(section.error(present, "it goes with `builtin = \"github\"` only"));
    }
    let Some(id) = read_id(section)? else {
        let message = "it goes with `app_id`, which is missing; write the App's id, or remove this";
        return Err(section.error(present, message));
    };
    if section.has("env_vars") {
        let message = "the row names a token in `env_vars` and an App here; remove one of them";
        return Err(section.error(ID, message));
    }
    Ok(Some(AppConfig {
        id,
        key: read_key(section)?,
        workflows: section.boolean(WORKFLOWS)?.unwrap_or(false),
        talks: false,
    }))
}

fn read_id(section: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let expected = "an App's id, such as 123456, or its client id, such as \"Iv23abc\"";
    section.read(ID, expected, |value| match integer(value) {
        Some(number) => (number > 0).then(|| number.to_string()),
        None => value.as_str().filter(|id| is_id(id)).map(str::to_owned),
    })
}

fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !id.is_empty() && id.bytes().all(plain)
}

/// Neither value is shown when it is wrong: it may be the key itself.
fn read_key(section: &Section<'_>) -> Result<AppKey, ConfigError> {
    match (section.has(KEY_ENV), section.has(KEY_FILE)) {
        (true, true) => {
            let message = "the App's key is named twice; remove `app_key_env` or `app_key_file`";
            return Err(section.error(KEY_FILE, message));
        }
        (false, false) => {
            let message = "an App needs its private key: name the variable that holds it with \
                           `app_key_env`, or its PEM file with `app_key_file`";
            return Err(section.error(ID, message));
        }
        _ => {}
    }
    if let Some(variable) = section.variable(KEY_ENV)? {
        return Ok(AppKey::Variable(variable));
    }
    let text = section.non_empty(KEY_FILE)?.unwrap_or_default();
    if text.contains("-----BEGIN") || text.contains('\n') {
        let message = "expected the path of a PEM file; the key itself is never written here";
        return Err(section.error(KEY_FILE, message));
    }
    Ok(AppKey::File(section.path(KEY_FILE)?.unwrap_or_default()))
}
