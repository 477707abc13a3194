//! Which store a command looks into: the one that `serve` keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use pullwright_core::config::Config;

use super::config;
use crate::compose;
use crate::store::{PostgresAddress, Store};

#[derive(Args)]
pub(super) struct Place {
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Look into the database that `DATABASE_URL` names, as `serve` does, and not into this machine's own.
    #[arg(long, global = true)]
    database: bool,
}

impl Place {
    /// The store, made if it is not there.
    pub(super) async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        let address = self.database()?;
        compose::open_store(&self.data_dir()?, address.as_ref()).await
    }

    /// The store, if it is there. A database that servers share is left as it is.
    pub(super) async fn find(&self) -> anyhow::Result<Option<Arc<dyn Store>>> {
        let (data_dir, address) = (self.data_dir()?, self.database()?);
        if address.is_none() && !compose::has_store(&data_dir) {
            return Ok(None);
        }
        let store = compose::open_store_as_it_is(&data_dir, address.as_ref());
        store.await.map(Some)
    }

    /// The file of the configuration, where one is named.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The configuration, if there is one.
    pub(super) fn config(&self) -> anyhow::Result<Option<Config>> {
        let named = self.config.as_deref();
        match named.is_some() || config::path(None)?.exists() {
            true => config::load(named).map(Some),
            false => Ok(None),
        }
    }

    /// The folder that holds the store where it is this machine's own.
    pub(super) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        match self.config()? {
            Some(config) => config::data_dir(&config),
            None => config::default_data_dir(),
        }
    }

    /// The database that is looked into, where one is asked for.
    pub(super) fn database(&self) -> anyhow::Result<Option<PostgresAddress>> {
        match self.database {
            true => {
                let address = config::database()?;
                address.context("`--database` needs DATABASE_URL").map(Some)
            }
            false => Ok(None),
        }
    }
}
