//! One table of a configuration, whose keys are all known.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::document::Document;
use super::secret::inline_secret;
use super::value::{found, strings};

/// A longer row name would leave no room for the tool's name in the 64 characters a model sees.
const MAX_ROW_NAME_CHARS: usize = 32;

/// One table of a configuration. An absent table reads like an empty one.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    path: String,
    table: Option<&'d DeTable<'d>>,
    span: Option<Range<usize>>,
}

impl<'d> Section<'d> {
    /// The document's top table.
    pub(super) fn root(
        document: &'d Document<'d>,
        table: &'d DeTable<'d>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let root = Self {
            document,
            path: String::new(),
            table: Some(table),
            span: None,
        };
        root.check_keys(known)?;
        Ok(root)
    }

    /// The table at `key`, all of whose keys must be among `known`.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Self, ConfigError> {
        let section = match self.entry(key) {
            None => self.child(key, None, None),
            Some((name, value)) => {
                self.child(key, Some(self.as_table(key, value)?), Some(name.span()))
            }
        };
        section.check_keys(known)?;
        Ok(section)
    }

    /// The tables inside the table at `key`, by name.
    pub(super) fn rows<T>(
        &self,
        key: &str,
        read: impl Fn(&Row<'_, 'd>) -> Result<T, ConfigError>,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        let Some((_, value)) = self.entry(key) else {
            return Ok(BTreeMap::new());
        };
        let parent = self.child(key, Some(self.as_table(key, value)?), Some(value.span()));
        let names = parent.table.into_iter().flat_map(DeTable::keys);
        names
            .map(|name| {
                let name = name.get_ref().as_ref();
                parent.check_row_name(name)?;
                let row = Row {
                    parent: &parent,
                    name,
                };
                Ok((name.to_owned(), read(&row)?))
            })
            .collect()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.read(key, "a string", |value| {
            value.as_str().map(ToOwned::to_owned)
        })
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.read(key, "true or false", DeValue::as_bool)
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.read(key, "a list of strings", strings)
    }

    pub(super) fn string_map(&self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let map = self.read(key, "a table of strings", |value| {
            let entries = value.as_table()?.iter();
            entries
                .map(|(name, value)| {
                    let value = value.get_ref().as_str()?;
                    Some((name.get_ref().to_string(), value.to_owned()))
                })
                .collect()
        })?;
        Ok(map.unwrap_or_default())
    }

    /// A path, resolved against the configuration's folder.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        let path = self.non_empty(key)?;
        Ok(path.map(|path| self.document.resolve(&path)))
    }

    /// Paths, resolved against the configuration's folder.
    pub(super) fn paths(&self, key: &str) -> Result<Vec<PathBuf>, ConfigError> {
        let paths = self.strings(key)?.unwrap_or_default();
        if paths.iter().any(String::is_empty) {
            return Err(self.error(key, "one of the paths is empty"));
        }
        let resolve = |path: &String| self.document.resolve(path);
        Ok(paths.iter().map(resolve).collect())
    }

    /// A program: resolved against the configuration's folder if it has a slash, else looked up in
    /// `PATH` by whoever starts it.
    pub(super) fn program(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let program = self.non_empty(key)?;
        Ok(program.map(|program| self.resolve_program(program)))
    }

    pub(super) fn resolve_program(&self, program: String) -> String {
        if !program.contains('/') {
            return program;
        }
        let path = self.document.resolve(&program);
        path.to_string_lossy().into_owned()
    }

    /// A string with something in it.
    pub(super) fn non_empty(&self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.string(key)? {
            Some(text) if text.trim().is_empty() => Err(self.error(key, "it is empty")),
            text => Ok(text),
        }
    }

    /// The value at `key` as `read` makes it; an error that says what was expected otherwise.
    pub(super) fn read<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'d DeValue<'d>) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((_, value)) = self.entry(key) else {
            return Ok(None);
        };
        match read(value.get_ref()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(key, self.wrong_type(expected, value.get_ref()))),
        }
    }

    /// An error about the value at `key`, or about the whole section where that key is absent.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let span = match self.entry(key) {
            Some((name, _)) => Some(name.span()),
            None => self.span.clone(),
        };
        self.document.error(self.full(key), span, message.into())
    }

    /// An error about the section itself.
    pub(super) fn whole_error(&self, message: impl Into<String>) -> ConfigError {
        let span = self.span.clone();
        self.document.error(self.path.clone(), span, message.into())
    }

    fn entry(
        &self,
        key: &str,
    ) -> Option<(
        &'d Spanned<toml::de::DeString<'d>>,
        &'d Spanned<DeValue<'d>>,
    )> {
        self.table?.get_key_value(key)
    }

    fn child(&self, key: &str, table: Option<&'d DeTable<'d>>, span: Option<Range<usize>>) -> Self {
        Self {
            document: self.document,
            path: self.full(key),
            table,
            span,
        }
    }

    fn as_table(
        &self,
        key: &str,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Result<&'d DeTable<'d>, ConfigError> {
        let table = value.get_ref().as_table();
        table.ok_or_else(|| self.error(key, self.wrong_type("a table", value.get_ref())))
    }

    fn wrong_type(&self, expected: &str, value: &DeValue<'_>) -> String {
        format!("expected {expected}, found {}", found(value))
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.path)
    }

    fn check_keys(&self, known: &[&str]) -> Result<(), ConfigError> {
        let keys = self.table.into_iter().flat_map(DeTable::keys);
        let unknown = keys
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        match unknown {
            Some(key) => Err(self.unknown(key.get_ref(), known)),
            None => Ok(()),
        }
    }

    fn unknown(&self, key: &str, known: &[&str]) -> ConfigError {
        let message = inline_secret(key, known)
            .unwrap_or_else(|| format!("unknown key; {}", nearest(key, known.iter().copied())));
        self.error(key, message)
    }

    fn check_row_name(&self, name: &str) -> Result<(), ConfigError> {
        let fits = (1..=MAX_ROW_NAME_CHARS).contains(&name.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if fits && name.chars().all(plain) && !name.contains("__") {
            return Ok(());
        }
        let rule = format!(
            "a row's name is 1 to {MAX_ROW_NAME_CHARS} letters, digits, `_` and `-`, without `__`"
        );
        Err(self.error(name, rule))
    }
}

/// A named table inside another.
pub(super) struct Row<'p, 'd> {
    parent: &'p Section<'d>,
    name: &'p str,
}

impl<'d> Row<'_, 'd> {
    /// The row's table, all of whose keys must be among `known`.
    pub(super) fn section(&self, known: &[&str]) -> Result<Section<'d>, ConfigError> {
        self.parent.section(self.name, known)
    }
}

/// The known name most like `name`, as advice.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    /// Below this likeness a suggestion confuses more than it helps.
    const MIN_LIKENESS: f64 = 0.75;

    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let best = known
        .clone()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(best) if likeness(best) >= MIN_LIKENESS => format!("did you mean `{best}`?"),
        _ => {
            let known: Vec<_> = known.map(|known| format!("`{known}`")).collect();
            format!("known here: {}", known.join(", "))
        }
    }
}
