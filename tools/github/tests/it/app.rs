//! A GitHub App as the account: proof, narrowing, renewal, and what keeps it from a token.

mod checks;
pub(crate) mod double;
mod emulated;
mod faults;
pub(crate) mod keys;
mod logs;
mod missed;
mod tokens;

use pullwright_github::{AppConfig, GithubConfig, Secret};

use self::double::APP_ID;
use crate::client::config;

/// Works as the App with this key, for the API at `url`.
pub(crate) fn as_app(url: &str, key: &str) -> GithubConfig {
    GithubConfig {
        token: None,
        app: Some(AppConfig {
            id: APP_ID.to_owned(),
            key: Secret::new(key),
            key_source: "MY_APP_KEY".to_owned(),
            workflows: false,
            talks: false,
        }),
        ..config(url)
    }
}
