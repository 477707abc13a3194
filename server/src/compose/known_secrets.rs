//! The secrets that a configuration names, read where they are: no change may hold one.

use pullwright_core::config::Config;
use pullwright_source::KnownSecret;

/// Those that are there. One that is missing is told by whoever needs it.
pub(super) fn of(config: &Config) -> Vec<KnownSecret> {
    let variables = config.secret_variables().into_iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(KnownSecret::new(format!("`{name}`"), value))
    });
    let files = config.secret_files().into_iter().filter_map(|path| {
        let value = std::fs::read_to_string(path).ok()?;
        Some(KnownSecret::new(
            format!("the file `{}`", path.display()),
            value,
        ))
    });
    variables.chain(files).collect()
}
