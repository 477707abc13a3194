//! Whose sandboxes they are: found in the order and by the names that Modal's own clients use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tonic::transport::Uri;

use super::retry::MAX_THROTTLE;

/// Where Modal is.
const DEFAULT_SERVER: &str = "https://api.modal.com";

/// What to do where no token is found.
pub(super) const REMEDY: &str = "set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or run `modal token new` of \
     Modal's own client, which writes ~/.modal.toml";

/// An account at Modal.
#[derive(Clone)]
pub struct Account {
    /// The control plane.
    pub server: Uri,
    /// The token's public half.
    pub token_id: String,
    /// The secret half.
    pub(super) token_secret: String,
    /// The environment that sandboxes are made in; the workspace's default if empty.
    pub environment: String,
    /// How long a busy server is waited for in all.
    pub(super) max_throttle: Duration,
}

/// Why there is no account. The words are those that users of Modal's own clients know.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nothing is configured.
    #[error("Token missing. Could not authenticate client.")]
    TokenMissing,
    /// Half of a token.
    #[error("Token ID and secret must both be configured.")]
    HalfAToken,
    /// Which profile counts cannot be said.
    #[error("More than one Modal profile is active.")]
    ManyActive,
    /// The profile that was asked for is not there.
    #[error("Modal profile '{profile}' was not found in {}.", path.display())]
    NoSuchProfile {
        /// Its name.
        profile: String,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("{} cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// How long a busy server is waited for cannot be said.
    #[error("MODAL_MAX_THROTTLE_WAIT `{0}` is no number of seconds.")]
    MaxThrottleWait(String),
    /// The server's address cannot be used.
    #[error("MODAL_SERVER_URL `{url}` {reason}")]
    Server {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A section of `~/.modal.toml`. Other keys belong to Modal's own clients.
#[derive(Clone, Debug, Default, Deserialize)]
struct Profile {
    #[serde(default)]
    active: bool,
    token_id: Option<String>,
    token_secret: Option<String>,
    environment: Option<String>,
    server_url: Option<String>,
    max_throttle_wait: Option<toml::Value>,
}

impl Account {
    /// Finds the account; `environment` looks a variable up.
    ///
    /// # Errors
    /// [`AccountError`], in the words of Modal's own clients.
    pub fn find(environment: impl Fn(&str) -> Option<String>) -> Result<Self, AccountError> {
        let variable = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let profile = profile(&variable)?;
        let token_id = variable("MODAL_TOKEN_ID").or(profile.token_id);
        let token_secret = variable("MODAL_TOKEN_SECRET").or(profile.token_secret);
        let (token_id, token_secret) = match (token_id, token_secret) {
            (Some(id), Some(secret)) => (id, secret),
            (None, None) => return Err(AccountError::TokenMissing),
            _ => return Err(AccountError::HalfAToken),
        };
        let server = variable("MODAL_SERVER_URL").or(profile.server_url);
        let named = variable("MODAL_ENVIRONMENT").or(profile.environment);
        Ok(Self {
            server: server_url(&server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()))?,
            token_id,
            token_secret,
            environment: named.unwrap_or_default(),
            max_throttle: match variable("MODAL_MAX_THROTTLE_WAIT") {
                Some(text) => seconds(&text)?,
                None => match profile.max_throttle_wait {
                    Some(toml::Value::Integer(seconds)) => {
                        Duration::from_secs(seconds.unsigned_abs())
                    }
                    Some(toml::Value::String(text)) => seconds(&text)?,
                    Some(other) => return Err(AccountError::MaxThrottleWait(format!("{other:?}"))),
                    None => MAX_THROTTLE,
                },
            },
        })
    }
}

fn seconds(text: &str) -> Result<Duration, AccountError> {
    let parsed = text.trim().parse().map(Duration::from_secs);
    parsed.map_err(|_| AccountError::MaxThrottleWait(text.to_owned()))
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("server", &self.server)
            .field("token_id", &self.token_id)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// The profile that counts: the one that is named, the active one, or `default`.
fn profile(variable: &impl Fn(&str) -> Option<String>) -> Result<Profile, AccountError> {
    let named = variable("MODAL_PROFILE");
    let written = variable("MODAL_CONFIG_PATH").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".modal.toml"));
    let Some(path) = written.or_else(home) else {
        return Ok(Profile::default());
    };
    let profiles = read(&path)?;
    if let Some(name) = named {
        let found = profiles.into_iter().find(|(known, _)| *known == name);
        return found
            .map(|(_, profile)| profile)
            .ok_or(AccountError::NoSuchProfile {
                profile: name,
                path,
            });
    }
    let active = profiles.iter().filter(|(_, profile)| profile.active);
    if active.count() > 1 {
        return Err(AccountError::ManyActive);
    }
    let mut profiles = profiles.into_iter();
    let counts = profiles.clone().find(|(_, profile)| profile.active);
    let counts = counts.or_else(|| profiles.find(|(name, _)| name == "default"));
    Ok(counts.map(|(_, profile)| profile).unwrap_or_default())
}

fn read(path: &Path) -> Result<Vec<(String, Profile)>, AccountError> {
    let unreadable = |reason: String| AccountError::File {
        path: path.to_owned(),
        reason,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    // The text around a mistake may be a secret.
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error: toml::de::Error| unreadable(error.message().to_owned()))?;
    let sections = table.into_iter().filter(|(_, value)| value.is_table());
    let profiles = sections.map(|(name, value)| {
        let profile = value.try_into::<Profile>();
        let profile = profile.map_err(|error| unreadable(error.message().to_owned()))?;
        Ok((name, profile))
    });
    profiles.collect()
}

/// The first of a list: Modal's own clients try the others where that one is slow.
fn server_url(text: &str) -> Result<Uri, AccountError> {
    let first = text.split(',').next().unwrap_or_default().trim();
    let wrong = |reason| AccountError::Server {
        url: first.to_owned(),
        reason,
    };
    let url: Uri = first.parse().map_err(|_| wrong("is not a URL"))?;
    match url.scheme_str() {
        _ if url.host().is_none() => Err(wrong("names no host")),
        Some("https") => Ok(url),
        Some("http") if is_this_machine(&url) => Ok(url),
        Some("http") => Err(wrong("would send the token in the clear; use https")),
        _ => Err(wrong("is neither https nor http")),
    }
}

/// Where Modal's own clients take a connection without TLS.
pub(super) fn is_this_machine(url: &Uri) -> bool {
    const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "172.21.0.1"];
    url.host().is_some_and(|host| HOSTS.contains(&host))
}
