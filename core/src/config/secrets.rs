//! Where the secrets are that a configuration names.

use std::collections::BTreeSet;
use std::path::Path;

use super::secret::is_secret_name;
use super::{AppKey, Config, ToolLink};

impl Config {
    /// The variables that it names and that hold a secret: all of those that are sent as one, and of those that
    /// programs get, the ones that are called so.
    #[must_use]
    pub fn secret_variables(&self) -> BTreeSet<&str> {
        let mut sent: BTreeSet<&str> = BTreeSet::new();
        let mut passed: Vec<&String> = Vec::new();
        for row in self.providers.values() {
            match &row.link {
                super::ProviderLink::Command { env_vars, .. } => passed.extend(env_vars),
                link => sent.extend(link.variables().into_iter().map(String::as_str)),
            }
        }
        for row in self.tools.values() {
            passed.extend(&row.env_vars);
            if let ToolLink::Url {
                bearer_token_env_var,
                env_http_headers,
                ..
            } = &row.link
            {
                let named = bearer_token_env_var.iter().chain(env_http_headers.values());
                sent.extend(named.map(String::as_str));
            }
            let key = row.app.iter().filter_map(|app| app.variable());
            sent.extend(key.map(String::as_str));
        }
        let passwords = self.credentials.values();
        sent.extend(passwords.map(|row| row.password_env.as_str()));
        sent.extend(self.server.token_key_env.as_deref());
        let webhooks = self.webhooks.github.iter();
        sent.extend(webhooks.flat_map(|row| &row.secret_env).map(String::as_str));
        passed.extend(self.sandbox.command.iter().flat_map(|row| &row.env_vars));
        let called_so = passed.into_iter().filter(|name| is_secret_name(name));
        sent.extend(called_so.map(String::as_str));
        sent
    }

    /// The files that it names and that hold a secret.
    #[must_use]
    pub fn secret_files(&self) -> BTreeSet<&Path> {
        let apps = self.tools.values().filter_map(|row| row.app.as_ref());
        let files = apps.filter_map(|app| match &app.key {
            AppKey::File(path) => Some(path.as_path()),
            AppKey::Variable(_) => None,
        });
        files.collect()
    }
}
