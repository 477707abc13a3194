//! Finds the configuration and the data folder.

use std::env::VarError;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pullwright_core::config::Config;

use crate::compose;
use crate::store::PostgresAddress;

/// The configuration named on the command line, else the one in the user's config folder. Never one
/// in the current folder: it may be a repository somebody else wrote.
pub(super) fn load(named: Option<&Path>) -> anyhow::Result<Config> {
    let path = path(named)?;
    if named.is_none() && !path.exists() {
        bail!(
            "there is no configuration at {}; name one with --config, for example the plugins.toml \
             that comes with Pullwright",
            path.display()
        );
    }
    compose::load_config(&path)
}

/// The file that [`load`] reads.
pub(super) fn path(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(user_folder("XDG_CONFIG_HOME", ".config")?.join("pullwright/plugins.toml")),
    }
}

/// Where runs, mirrors and the store live: `[server] data_dir`, else the user's data folder.
pub(super) fn data_dir(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.server.data_dir {
        Some(dir) => Ok(dir.clone()),
        None => default_data_dir(),
    }
}

/// The database that `serve` keeps its runs in, if `DATABASE_URL` names one.
pub(super) fn database() -> anyhow::Result<Option<PostgresAddress>> {
    match std::env::var("DATABASE_URL") {
        Ok(url) => Ok(Some(url.parse()?)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("DATABASE_URL is not UTF-8"),
    }
}

/// The user's data folder.
pub(super) fn default_data_dir() -> anyhow::Result<PathBuf> {
    Ok(user_folder("XDG_DATA_HOME", ".local/share")?.join("pullwright"))
}

fn user_folder(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(absolute);
    if let Some(folder) = named {
        return Ok(folder);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(absolute);
    let home = home.with_context(|| format!("neither {variable} nor HOME names a folder"))?;
    Ok(home.join(below_home))
}
