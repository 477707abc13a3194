//! What a change may hold, if it is to be pushed.

use super::ConfigError;
use super::section::Section;

/// What a change may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Globs of files that a run may not change, beside those that it never may unless they are allowed.
    pub protected: Vec<String>,
    /// Globs of files that are protected by the above, or by default, and may be changed nevertheless.
    pub allow: Vec<String>,
    /// The largest file, in MiB.
    pub max_file_mb: u64,
    /// The largest sum of all changed files, in MiB.
    pub max_change_mb: u64,
    /// How many files may change.
    pub max_files: u64,
    /// What becomes of a changed file that is not text.
    pub binary: Notable,
    /// What becomes of a file that looks generated, or left behind by mistake.
    pub noise: Notable,
}

/// What becomes of something that is not forbidden, and worth a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notable {
    /// It is pushed, and told in the pull request.
    #[default]
    Report,
    /// It is not pushed.
    Refuse,
    /// It is pushed, and not told.
    Allow,
}

impl Notable {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

pub(super) const KEYS: &[&str] = &[
    "protected",
    "allow",
    "max_file_mb",
    "max_change_mb",
    "max_files",
    "binary",
    "noise",
];

/// A longer pattern is no glob that anybody wrote, in bytes.
const MAX_GLOB_BYTES: usize = 1024;
/// GitHub refuses a file of 100 MiB; this leaves room for how hosts count.
const DEFAULT_MAX_FILE_MB: u64 = 90;
const DEFAULT_MAX_CHANGE_MB: u64 = 256;
const DEFAULT_MAX_FILES: u64 = 10_000;

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            protected: Vec::new(),
            allow: Vec::new(),
            max_file_mb: DEFAULT_MAX_FILE_MB,
            max_change_mb: DEFAULT_MAX_CHANGE_MB,
            max_files: DEFAULT_MAX_FILES,
            binary: Notable::default(),
            noise: Notable::default(),
        }
    }
}

impl PolicyConfig {
    pub(super) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = root.section("policy", KEYS)?;
        Ok(Self {
            protected: globs(&section, "protected")?,
            allow: globs(&section, "allow")?,
            max_file_mb: section
                .integer("max_file_mb", 1..=1 << 20)?
                .unwrap_or(DEFAULT_MAX_FILE_MB),
            max_change_mb: section
                .integer("max_change_mb", 1..=1 << 20)?
                .unwrap_or(DEFAULT_MAX_CHANGE_MB),
            max_files: section
                .integer("max_files", 1..=200_000)?
                .unwrap_or(DEFAULT_MAX_FILES),
            binary: notable(&section, "binary")?,
            noise: notable(&section, "noise")?,
        })
    }
}

fn notable(section: &Section<'_>, key: &str) -> Result<Notable, ConfigError> {
    let expected = "\"report\", \"refuse\" or \"allow\"";
    let found = section.read(key, expected, |value| match value.as_str()? {
        "report" => Some(Notable::Report),
        "refuse" => Some(Notable::Refuse),
        "allow" => Some(Notable::Allow),
        _ => None,
    })?;
    Ok(found.unwrap_or_default())
}

/// Globs of paths in a repository. Whether they are globs at all is said when they are put to use.
fn globs(section: &Section<'_>, key: &str) -> Result<Vec<String>, ConfigError> {
    let globs = section.strings(key)?.unwrap_or_default();
    for glob in &globs {
        let why = match glob.as_str() {
            "" => "is empty",
            glob if glob.len() > MAX_GLOB_BYTES => "is longer than any path",
            glob if glob.starts_with('!') => "begins with `!`; write exceptions into `allow`",
            glob if glob.split('/').any(|part| part == "..") => "leads out of the repository",
            _ => continue,
        };
        return Err(section.error(key, format!("`{glob}` {why}")));
    }
    Ok(globs)
}
