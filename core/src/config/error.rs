//! What is wrong with a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub origin: PathBuf,
    /// The line, from 1, where the mistake is one of a line.
    pub line: Option<usize>,
    /// The full key, such as `tools.fs.builtin`, where the mistake is one of a key.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ConfigError {
    pub(super) fn read(origin: &Path, error: &std::io::Error) -> Self {
        Self {
            origin: origin.to_owned(),
            line: None,
            key: None,
            message: format!("cannot read the configuration: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": `{key}`")?;
        }
        write!(f, ": {}", self.message)
    }
}
