//! An API key, as it is known without its secret.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::grant::Grant;
use super::secret::Digest;

/// The longest name of a key, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The name of a key. Its runs and what it did go by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KeyName(String);

/// A text that is no name for a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name for a key; a name is 1 to {MAX_NAME_CHARS} letters, digits, `.`, `_` and `-`"
)]
pub struct BadKeyName(String);

impl KeyName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = BadKeyName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if (1..=MAX_NAME_CHARS).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadKeyName(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name.
    pub name: KeyName,
    /// What is kept of its secret.
    pub digest: Digest,
    /// What it may do.
    pub grant: Grant,
    /// When it is made, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it ends by itself.
    pub expires_at_ms: Option<u64>,
}

/// What is known of a key. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The beginning of its secret's digest; see [`Digest::id`].
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    #[serde(flatten)]
    pub grant: Grant,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it ends by itself.
    pub expires_at_ms: Option<u64>,
    /// When somebody ended it.
    pub revoked_at_ms: Option<u64>,
    /// When it was last used, give or take a minute.
    pub last_used_at_ms: Option<u64>,
}

/// A key, and what proves that somebody has its secret.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// The digest of its secret.
    pub digest: Digest,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Live,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl Key {
    /// Whether it is good at `now_ms`.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> KeyState {
        match (self.revoked_at_ms, self.expires_at_ms) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(end)) if end <= now_ms => KeyState::Expired,
            (None, _) => KeyState::Live,
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_bounded() {
        for good in ["ci", "team-a.nightly_2", &"x".repeat(64)] {
            assert!(good.parse::<KeyName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }
}
