//! How to talk to a tool server.

use std::time::Duration;

use crate::config::{ToolConfig, ToolLink};

/// The built-in servers whose tools go by the short names models know.
const SHORT_NAMED: &[&str] = &["fs", "bash"];

/// How to talk to a tool server.
#[derive(Clone, Debug)]
pub struct ToolServerOptions {
    /// Its name: the row in `plugins.toml`.
    pub name: String,
    /// Whether it is one of our own, which speaks the short handshake and needs no approval.
    pub builtin: bool,
    /// Whether its tools go by their bare names.
    pub short_names: bool,
    /// The longest wait for the connection and the tool list.
    pub startup_timeout: Duration,
    /// The longest wait for an answer.
    pub tool_timeout: Duration,
    /// The only tools offered, if given.
    pub enabled_tools: Option<Vec<String>>,
    /// Tools not offered.
    pub disabled_tools: Vec<String>,
    /// Whether a run cannot go on without it.
    pub required: bool,
}

impl ToolServerOptions {
    /// What the row called `name` says.
    #[must_use]
    pub fn of(name: &str, row: &ToolConfig) -> Self {
        let builtin = match &row.link {
            ToolLink::Builtin(builtin) => Some(builtin.as_str()),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            builtin: builtin.is_some(),
            short_names: builtin.is_some_and(|builtin| SHORT_NAMED.contains(&builtin)),
            startup_timeout: row.startup_timeout,
            tool_timeout: row.tool_timeout,
            enabled_tools: row.enabled_tools.clone(),
            disabled_tools: row.disabled_tools.clone(),
            required: row.required,
        }
    }

    pub(super) fn offers(&self, tool: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|name| name == tool);
        self.enabled_tools.as_deref().is_none_or(listed) && !listed(&self.disabled_tools)
    }

    /// The names in the row's lists, with the key of each.
    pub(super) fn named_tools(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let enabled = self.enabled_tools.iter().flatten();
        let enabled = enabled.map(|name| ("enabled_tools", name.as_str()));
        let disabled = self.disabled_tools.iter();
        enabled.chain(disabled.map(|name| ("disabled_tools", name.as_str())))
    }
}
