//! What the rows of models and of tools have in common.

use std::collections::BTreeMap;

use super::ConfigError;
use super::secret::is_secret_name;
use super::section::Section;

const SHA256_HEX_CHARS: usize = 64;

impl Section<'_> {
    /// The one key of `links` that is there. Keys of the other links must be absent.
    pub(super) fn one_of(
        &self,
        links: &'static [(&'static str, &'static [&'static str])],
    ) -> Result<&'static str, ConfigError> {
        let present: Vec<_> = links.iter().filter(|(key, _)| self.has(key)).collect();
        let [(chosen, own)] = present.as_slice() else {
            return Err(self.whole_error(not_one(links, &present)));
        };
        let foreign = links
            .iter()
            .flat_map(|(key, keys)| keys.iter().map(move |of| (key, of)));
        for (link, key) in foreign {
            if self.has(key) && !own.contains(key) {
                let message =
                    format!("it goes with `{link}`, not with `{chosen}`; remove one of them");
                return Err(self.error(key, message));
            }
        }
        Ok(chosen)
    }

    /// An address of one of these schemes, without credentials.
    pub(super) fn url(&self, key: &str, schemes: &[&str]) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.string(key)? else {
            return Ok(None);
        };
        let wanted = || format!("expected an address like `{}://host/path`", schemes[0]);
        let url = url::Url::parse(&text)
            .map_err(|error| self.error(key, format!("{}, but {error}", wanted())))?;
        if !schemes.contains(&url.scheme()) || url.host_str().is_none() {
            return Err(self.error(key, wanted()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let message =
                "an address here holds no user name or password; name an environment variable";
            return Err(self.error(key, message));
        }
        Ok(Some(text))
    }

    /// A table of variables to set, none of which would be a secret.
    pub(super) fn env(&self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let env = self.string_map(key)?;
        for name in env.keys() {
            self.check_variable(key, name)?;
            if is_secret_name(name) {
                let message = format!(
                    "`{name}` looks like a secret, which is never written here; \
                     set it where the server starts and name it in `env_vars`"
                );
                return Err(self.error(key, message));
            }
        }
        Ok(env)
    }

    /// Names of environment variables.
    pub(super) fn variables(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let names = self.strings(key)?.unwrap_or_default();
        for name in &names {
            self.check_variable(key, name)?;
        }
        Ok(names)
    }

    /// The name of an environment variable.
    pub(super) fn variable(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let name = self.string(key)?;
        if let Some(name) = &name {
            self.check_variable(key, name)?;
        }
        Ok(name)
    }

    /// The SHA-256 that pins a library.
    pub(super) fn sha256(&self, key: &str) -> Result<String, ConfigError> {
        let remedy = "write the 64 digits that `sha256sum` prints for the library";
        let Some(text) = self.string(key)? else {
            return Err(self.error(key, format!("it is missing; {remedy}")));
        };
        let hex = text.chars().all(|c| c.is_ascii_hexdigit());
        if !hex || text.len() != SHA256_HEX_CHARS {
            return Err(self.error(key, format!("this is not a SHA-256; {remedy}")));
        }
        Ok(text.to_ascii_lowercase())
    }

    /// The value is not shown when it is no name: it may be the secret itself.
    pub(super) fn check_variable(&self, key: &str, name: &str) -> Result<(), ConfigError> {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Ok(());
        }
        let message = "expected the name of an environment variable, such as `SERVICE_API_KEY`; \
                       the secret itself is never written here";
        Err(self.error(key, message))
    }
}

fn not_one(links: &[(&'static str, &[&str])], present: &[&(&'static str, &[&str])]) -> String {
    let list = |keys: Vec<String>| keys.join(", ");
    let all = list(links.iter().map(|(key, _)| format!("`{key}`")).collect());
    if present.is_empty() {
        return format!("it needs exactly one of {all}");
    }
    let found = list(present.iter().map(|(key, _)| format!("`{key}`")).collect());
    format!("it needs exactly one of {all}, found {found}")
}
