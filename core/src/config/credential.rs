//! What git authenticates with at a host that has no forge: a row of `[credentials]`.

use std::collections::BTreeMap;

use super::ConfigError;
use super::section::{Row, Section};
use super::tool::ToolConfig;

/// A credential, by the name of the variable that holds its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialConfig {
    /// Scheme, host and port that it is offered to, such as `https://git.example.com`; no other.
    pub origin: String,
    /// The user name of HTTP basic authentication.
    pub username: String,
    /// The variable that holds the password, or the token in its place.
    pub password_env: String,
}

pub(super) const KEYS: &[&str] = &["origin", "username", "password_env"];

impl CredentialConfig {
    pub(super) fn read(row: &Row<'_, '_>) -> Result<Self, ConfigError> {
        let section = row.section(KEYS)?;
        let password_env = section.variable("password_env")?.ok_or_else(|| {
            let message = "it is missing; name the variable that holds the password";
            section.error("password_env", message)
        })?;
        Ok(Self {
            origin: read_origin(&section)?,
            username: read_username(&section)?,
            password_env,
        })
    }

    fn host(&self) -> &str {
        self.origin.split("://").last().unwrap_or_default()
    }
}

/// One credential for each origin, and none where a forge gives its own.
pub(super) fn check(
    root: &Section<'_>,
    credentials: &BTreeMap<String, CredentialConfig>,
    tools: &BTreeMap<String, ToolConfig>,
) -> Result<(), ConfigError> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, row) in credentials {
        let forge = tools
            .iter()
            .find(|(_, tool)| tool.hosts.iter().any(|host| host == row.host()));
        let message = match (taken.insert(&row.origin, name), forge) {
            (Some(other), _) => {
                format!("[credentials.{other}] is for it already; remove one of them")
            }
            (None, Some((forge, _))) => format!(
                "`{}` is a host of [tools.{forge}], which gives the credential there; remove this row",
                row.host()
            ),
            (None, None) => continue,
        };
        let names: Vec<&str> = credentials.keys().map(String::as_str).collect();
        let section = root.section("credentials", &names)?.section(name, KEYS)?;
        return Err(section.error("origin", message));
    }
    Ok(())
}

/// Normalised, as that of a repository's URL is.
fn read_origin(section: &Section<'_>) -> Result<String, ConfigError> {
    let wanted = "write scheme, host and port alone, such as `https://git.example.com`";
    let Some(text) = section.url("origin", &["https", "http"])? else {
        return Err(section.error("origin", format!("it is missing; {wanted}")));
    };
    let parsed = url::Url::parse(&text).ok();
    let bare =
        parsed.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
    match bare {
        Some(url) => Ok(url.origin().ascii_serialization()),
        None => Err(section.error("origin", format!("it names more than an origin; {wanted}"))),
    }
}

fn read_username(section: &Section<'_>) -> Result<String, ConfigError> {
    let username = section.non_empty("username")?.ok_or_else(|| {
        let message = "it is missing; many hosts take any name with a token, such as `git`";
        section.error("username", message)
    })?;
    if username
        .chars()
        .any(|char| char.is_control() || char == ':')
    {
        return Err(section.error(
            "username",
            "a user name holds no colon and no control character",
        ));
    }
    Ok(username)
}
