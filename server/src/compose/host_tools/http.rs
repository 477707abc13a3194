//! Tool servers behind an address, with their credentials from the environment.

use std::time::Duration;

use pullwright_core::config::{ToolConfig, ToolLink};
use pullwright_link::{McpHttp, McpHttpOptions};
use url::Url;

/// How long a server may think about which era it lives in: the same as for a child.
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of the address of `row`. Variables are read now, so that a restart takes in a new token.
pub(super) fn open(row: &ToolConfig) -> Result<McpHttp, String> {
    let ToolLink::Url {
        url,
        bearer_token_env_var,
        http_headers,
        env_http_headers,
    } = &row.link
    else {
        return Err("the row has no `url`".to_owned());
    };
    let written = http_headers.iter();
    let mut headers: Vec<_> = written
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (header, name) in env_http_headers {
        headers.push((header.clone(), variable("env_http_headers", name)?));
    }
    let token = bearer_token_env_var.as_ref();
    let token = token.map(|name| variable("bearer_token_env_var", name));
    let options = McpHttpOptions {
        url: Url::parse(url).map_err(|error| format!("`url` is not an address: {error}"))?,
        bearer_token: token.transpose()?,
        headers,
        // A tool may answer only when it is done.
        first_byte_timeout: row.tool_timeout.max(row.startup_timeout),
        discover_timeout: DISCOVER_TIMEOUT,
    };
    McpHttp::new(&options).map_err(|error| error.to_string())
}

fn variable(key: &str, name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) => Err(format!(
            "the environment variable {name}, named by `{key}`, is empty"
        )),
        Err(_) => Err(format!(
            "the environment variable {name}, named by `{key}`, is not set; set it where \
             Pullwright is started"
        )),
    }
}
