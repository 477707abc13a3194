//! How much of a repository is fetched.

use super::ConfigError;
use super::section::Section;

/// How much of a repository a mirror holds, and with it each checkout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloneMode {
    /// The whole history.
    #[default]
    Full,
    /// The commits that runs begin at, and none before them.
    Shallow,
    /// The whole history, of whose files only those are there that the commits have at which runs begin.
    Blobless,
}

impl CloneMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Shallow, Self::Blobless];

    /// As `plugins.toml` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Shallow => "shallow",
            Self::Blobless => "blobless",
        }
    }
}

impl Section<'_> {
    pub(super) fn clone_mode(&self, key: &str) -> Result<CloneMode, ConfigError> {
        self.chosen(key, &CloneMode::ALL.map(|mode| (mode.as_str(), mode)))
    }
}
