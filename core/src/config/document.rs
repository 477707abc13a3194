//! The text of a configuration, and places in it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use super::ConfigError;

/// The text of a configuration and where it came from.
pub(super) struct Document<'t> {
    text: &'t str,
    origin: &'t Path,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str, origin: &'t Path) -> Self {
        Self { text, origin }
    }

    pub(super) fn table(&self) -> Result<Spanned<DeTable<'t>>, ConfigError> {
        DeTable::parse(self.text).map_err(|error| ConfigError {
            origin: self.origin.to_owned(),
            line: error.span().map(|span| self.line(span.start)),
            key: None,
            message: format!("this is not TOML: {}", error.message()),
        })
    }

    pub(super) fn error(
        &self,
        key: String,
        span: Option<Range<usize>>,
        message: String,
    ) -> ConfigError {
        ConfigError {
            origin: self.origin.to_owned(),
            line: span.map(|span| self.line(span.start)),
            key: Some(key),
            message,
        }
    }

    /// `path` as seen from the configuration's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let folder = self.origin.parent().unwrap_or(Path::new(""));
        // Collecting the components drops every `.`, so that `./x` reads well in messages.
        folder.join(path).components().collect()
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        before.filter(|byte| *byte == b'\n').count() + 1
    }
}
