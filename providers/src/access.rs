//! How a service lets a row in: a key, or a command that fetches one, and headers of the row's own.

use std::cmp::Reverse;
use std::sync::Arc;

use pullwright_protocol::provider::ProviderError;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::secret::Secret;

mod command;

pub use command::KeyCommand;

/// What an error names when a service without a key wants one.
const NO_KEY: &str = "`env_key`, which this row does not set";

/// What stands in an error for a secret.
const HIDDEN: &str = "[hidden]";
/// What is shorter may be a part of any word, and is no secret.
const SHORTEST_SECRET: usize = 8;

/// How a service lets a row in. Clones share a key that a command fetched.
#[derive(Clone, Debug, Default)]
pub struct Access {
    key: Key,
    headers: HeaderMap,
}

#[derive(Clone, Debug, Default)]
enum Key {
    #[default]
    None,
    Fixed {
        key: Secret,
        source: String,
    },
    Command(Arc<KeyCommand>),
}

/// Where a wire format wants the key.
#[derive(Clone, Debug)]
pub(crate) enum KeyPlace {
    /// In `authorization`, as a bearer's token.
    Bearer,
    /// In a header of its own.
    Header(HeaderName),
}

impl Access {
    /// With `key`, which came from `source`: a variable's name, for error messages.
    ///
    /// # Errors
    /// A sentence when the key cannot be a key.
    pub fn with_key(key: Secret, source: impl Into<String>) -> Result<Self, String> {
        let source = source.into();
        if HeaderValue::try_from(key.reveal()).is_err() {
            return Err(format!("{source} holds characters no key has"));
        }
        Ok(Self {
            key: Key::Fixed { key, source },
            headers: HeaderMap::new(),
        })
    }

    /// With the key that a command prints.
    #[must_use]
    pub fn with_command(command: KeyCommand) -> Self {
        Self {
            key: Key::Command(Arc::new(command)),
            headers: HeaderMap::new(),
        }
    }

    /// Sends one more header. Its value counts as a secret.
    ///
    /// # Errors
    /// A sentence when the name or the value cannot be a header's.
    pub fn and_header(mut self, name: &str, value: &Secret) -> Result<Self, String> {
        let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header"))?;
        let mut value = HeaderValue::try_from(value.reveal())
            .map_err(|_| format!("the header `{name}` holds characters no header has"))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The headers of one question, and the key in them.
    pub(crate) async fn headers(
        &self,
        provider: &str,
        place: &KeyPlace,
    ) -> Result<(HeaderMap, Option<Secret>), ProviderError> {
        let mut headers = HeaderMap::new();
        let key = match &self.key {
            Key::None => None,
            Key::Fixed { key, .. } => Some(key.clone()),
            Key::Command(command) => Some(command.key(provider).await?),
        };
        if let Some(key) = &key {
            place.put(key, &mut headers);
        }
        headers.extend(self.headers.clone());
        Ok((headers, key))
    }

    /// Where the key comes from, for error messages.
    pub(crate) fn source(&self) -> String {
        match &self.key {
            Key::None => NO_KEY.to_owned(),
            Key::Fixed { source, .. } => source.clone(),
            Key::Command(command) => command.to_string(),
        }
    }

    /// A text without the key and the headers, which a service may repeat.
    pub(crate) async fn hide(&self, text: String) -> String {
        hidden(text, &self.secrets().await)
    }

    /// Of a text that was cut off, removes from the end what may be the beginning of a secret,
    /// which [`hide`](Self::hide) would not know again.
    pub(crate) async fn cut_off_half_secret(&self, text: &mut Vec<u8>) {
        for secret in self.secrets().await {
            let secret = secret.reveal().as_bytes();
            let halves = (1..secret.len()).rev().map(|length| &secret[..length]);
            if let Some(half) = halves.into_iter().find(|half| text.ends_with(half)) {
                text.truncate(text.len() - half.len());
            }
        }
    }

    /// Whatever nobody else may read.
    async fn secrets(&self) -> Vec<Secret> {
        let mut secrets = match &self.key {
            Key::None => Vec::new(),
            Key::Fixed { key, .. } => vec![key.clone()],
            Key::Command(command) => command.recent().await,
        };
        let headers = self.headers.values();
        for value in headers.filter_map(|value| value.to_str().ok()) {
            secrets.push(Secret::new(value));
            // `Bearer …` is repeated without its first word.
            secrets.extend(value.split_once(' ').map(|(_, rest)| Secret::new(rest)));
        }
        in_order(secrets)
    }

    /// The service does not take the key any more. Whether the next question may have another.
    pub(crate) async fn refused(&self, key: Option<&Secret>) -> bool {
        match (&self.key, key) {
            (Key::Command(command), Some(key)) => command.forget(key).await,
            _ => false,
        }
    }
}

/// The secrets worth hiding, in the order in which they are hidden.
fn in_order(mut secrets: Vec<Secret>) -> Vec<Secret> {
    secrets.retain(|secret| secret.reveal().len() >= SHORTEST_SECRET);
    // One that holds another goes first, or a part of it would be left.
    secrets.sort_by_key(|secret| Reverse(secret.reveal().len()));
    secrets
}

/// The text without these secrets.
fn hidden(mut text: String, secrets: &[Secret]) -> String {
    for secret in secrets {
        text = text.replace(secret.reveal(), HIDDEN);
    }
    text
}

impl KeyPlace {
    /// A key that cannot be a header's value was refused before.
    fn put(&self, key: &Secret, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Self::Bearer => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
            Self::Header(name) => (name.clone(), key.reveal().to_owned()),
        };
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}
