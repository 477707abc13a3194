//! HTTP headers of a row.

use std::collections::BTreeMap;

use super::ConfigError;
use super::secret::is_secret_name;
use super::section::Section;

/// Headers that the link itself sets.
const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "user-agent",
];

/// Headers that hold a credential, whatever their name ends with.
const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization"];

impl Section<'_> {
    /// A table of headers, none of which would be a secret.
    pub(super) fn headers(&self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let headers = self.string_map(key)?;
        for (name, value) in &headers {
            self.check_header(key, name)?;
            if is_secret_header(name) {
                let message = format!(
                    "the header `{name}` holds a secret, which is never written here; name its \
                     environment variable in `env_http_headers`"
                );
                return Err(self.error(key, message));
            }
            if !value
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
            {
                let message = format!("the value of `{name}` holds more than printable ASCII");
                return Err(self.error(key, message));
            }
        }
        Ok(headers)
    }

    /// A table of headers, each with the name of a variable.
    pub(super) fn env_headers(&self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let headers = self.string_map(key)?;
        for (name, variable) in &headers {
            self.check_header(key, name)?;
            self.check_variable(key, variable)?;
        }
        Ok(headers)
    }

    fn check_header(&self, key: &str, name: &str) -> Result<(), ConfigError> {
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(in_name) {
            return Err(self.error(key, format!("`{name}` is not the name of an HTTP header")));
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            let message = format!("the header `{name}` is set by the connection itself; remove it");
            return Err(self.error(key, message));
        }
        Ok(())
    }
}

fn is_secret_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let variable_like = lower.replace('-', "_");
    SECRET.contains(&lower.as_str())
        || is_secret_name(&variable_like)
        || variable_like.ends_with("_key")
}
