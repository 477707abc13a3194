//! Where a run is: in a store, or in an archive once it ended long ago.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use pullwright_core::store::{Retired, RunRecord, RunStore};
use pullwright_protocol::{LoggedEvent, RunId};

use crate::cli::place;
use crate::retention::Archive;

/// How many of the latest runs are looked through for the beginning of an id.
const MAX_LISTED: usize = 1000;

/// How many events are read at once.
pub(super) const PAGE_EVENTS: usize = 256;

/// Where runs are looked for.
#[derive(Args)]
pub(in crate::cli) struct Whereabouts {
    #[command(flatten)]
    pub(in crate::cli) place: place::Place,
    /// Look into the archive in this folder, where servers have written runs that ended long ago.
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        conflicts_with = "database"
    )]
    archive: Option<PathBuf>,
}

/// A run, and what holds its events.
pub(in crate::cli) enum Place {
    /// They are in a store.
    Store {
        /// The store.
        store: Arc<dyn RunStore>,
        /// What it knows of the run.
        record: Box<RunRecord>,
    },
    /// They are in an archive.
    Archive {
        /// The archive.
        archive: Archive,
        /// The run.
        run: RunId,
    },
}

impl Whereabouts {
    /// The archive named on the command line.
    pub(super) fn named_archive(&self) -> Option<Archive> {
        self.archive.as_deref().map(Archive::at)
    }

    /// The store.
    pub(super) async fn store(&self) -> anyhow::Result<Arc<dyn RunStore>> {
        match self.place.find().await? {
            Some(store) => Ok(store),
            None => {
                let folder = self.place.data_dir()?;
                bail!("there are no runs yet in {}", folder.display());
            }
        }
    }

    /// The run of this id, or the only one whose id begins like this.
    pub(in crate::cli) async fn find(&self, named: &str) -> anyhow::Result<Place> {
        if let Some(folder) = &self.archive {
            return archived(folder, named);
        }
        let store = self.store().await?;
        let record = find(store.as_ref(), named).await?;
        match record.retired {
            None => Ok(Place::Store {
                store,
                record: Box::new(record),
            }),
            Some(Retired::Removed) => bail!(
                "run {} ended long ago, and its events and patch were removed",
                record.id
            ),
            Some(Retired::Archived) => self.configured_archive(&record.id),
        }
    }

    fn configured_archive(&self, run: &RunId) -> anyhow::Result<Place> {
        let folder = self
            .place
            .config()?
            .and_then(|config| config.server.archive_dir);
        let folder = folder.with_context(|| {
            format!(
                "run {run} ended long ago and is in an archive; name its folder with --archive, or as \
                 `archive_dir` in [server] of the configuration"
            )
        })?;
        archived(&folder, &run.0)
    }
}

impl Place {
    /// The run.
    pub(in crate::cli) fn run(&self) -> &RunId {
        match self {
            Self::Store { record, .. } => &record.id,
            Self::Archive { run, .. } => run,
        }
    }

    /// Gives the events so far to `take`, in order.
    pub(in crate::cli) async fn each_event(
        &self,
        mut take: impl FnMut(LoggedEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Archive { archive, run } => {
                for event in archive.events(run)? {
                    take(event?)?;
                }
                Ok(())
            }
            Self::Store { store, record } => {
                let mut after = 0;
                loop {
                    let page = store.read(&record.id, after, PAGE_EVENTS).await?;
                    let Some(last) = page.last() else {
                        return Ok(());
                    };
                    after = last.seq;
                    page.into_iter().try_for_each(&mut take)?;
                }
            }
        }
    }

    /// The run's patch, if it has one.
    pub(in crate::cli) async fn patch(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Store { store, record } => Ok(store.patch(&record.id).await?),
            Self::Archive { archive, run } => Ok(archive.patch(run)?),
        }
    }
}

fn archived(folder: &Path, named: &str) -> anyhow::Result<Place> {
    let archive = Archive::at(folder);
    let found = archive.find(named)?;
    let run = only(named, found, || {
        format!(
            "the archive {} holds no run `{named}`; `pullwright runs list --archive …` shows what it holds",
            folder.display()
        )
    })?;
    Ok(Place::Archive { archive, run })
}

async fn find(store: &dyn RunStore, named: &str) -> anyhow::Result<RunRecord> {
    if let Some(run) = store.get(&RunId(named.to_owned())).await? {
        return Ok(run);
    }
    let latest = store.list(MAX_LISTED).await?;
    let alike = |run: &&RunRecord| !named.is_empty() && run.id.0.starts_with(named);
    let alike: Vec<RunId> = latest
        .iter()
        .filter(alike)
        .map(|run| run.id.clone())
        .collect();
    let none = || format!("there is no run `{named}`; `pullwright runs list` shows them");
    let run = only(named, alike, none)?;
    let record = store.get(&run).await?;
    record.with_context(|| format!("there is no run `{run}` any more"))
}

/// The only one of the runs whose ids begin with `named`.
fn only(named: &str, alike: Vec<RunId>, none: impl Fn() -> String) -> anyhow::Result<RunId> {
    match alike.as_slice() {
        [run] => Ok(run.clone()),
        [] => bail!(none()),
        [one, other, ..] => match alike.iter().find(|run| run.0 == named) {
            Some(run) => Ok(run.clone()),
            None => {
                bail!("`{named}` is the beginning of several ids, such as {one} and {other}")
            }
        },
    }
}
