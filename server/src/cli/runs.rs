//! `pullwright runs`: the runs of this machine's store, also while a server is at work on it.

mod follow;
mod table;

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use pullwright_core::log::now_ms;
use pullwright_core::store::{MAX_MESSAGES, NewMessage, Posted, RunRecord, RunStore};
use pullwright_protocol::FrameOptions;

use super::place::Place;
use super::say;
use super::view::View;
use crate::store::Store;

pub(super) use follow::{Shown, follow};
pub(super) use table::age;

/// How many of the latest runs are looked through for the beginning of an id.
const MAX_LISTED: usize = 1000;

/// How many events are read at once.
const PAGE_EVENTS: usize = 256;

/// How soon is looked for events that another process wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(super) struct Runs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// List the latest runs.
    List {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Print them as JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Show what happened in a run so far.
    Show(Named),
    /// Show what happened in a run, and what happens until its end.
    Tail(Named),
    /// Ask the server that is at work on a run to end it; its patch is kept.
    Cancel {
        /// The run, or the beginning of its id.
        run: String,
    },
    /// Say something to the model that works on a run; it hears it before its next turn.
    Say {
        /// The run, or the beginning of its id.
        run: String,
        /// What to say.
        message: String,
    },
    /// Print a run's typed events as JSON, one a line: all there is to know of it.
    Export {
        /// The run, or the beginning of its id.
        run: String,
    },
    /// Print a run's change as a patch.
    Patch {
        /// The run, or the beginning of its id.
        run: String,
    },
}

#[derive(Args)]
struct Named {
    /// The run, or the beginning of its id.
    run: String,
    /// Print the frames as JSON, one a line.
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.store().await?;
        let store: &dyn RunStore = store.as_ref();
        match self.task {
            Task::List { limit, json } => list(store, limit, json).await?,
            Task::Show(named) => named.show(store, false).await?,
            Task::Tail(named) => named.show(store, true).await?,
            Task::Cancel { run } => cancel(store, &run).await?,
            Task::Say { run, message } => say_to(store, &run, message).await?,
            Task::Export { run } => export(store, &run).await?,
            Task::Patch { run } => patch(store, &run).await?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        match self.place.find().await? {
            Some(store) => Ok(store),
            None => {
                let folder = self.place.data_dir()?;
                bail!("there are no runs yet in {}", folder.display());
            }
        }
    }
}

impl Named {
    async fn show(self, store: &dyn RunStore, to_the_end: bool) -> anyhow::Result<()> {
        let record = find(store, &self.run).await?;
        let mut view = View::new(std::io::stdout().is_terminal());
        let until = match to_the_end {
            true => None,
            false => Some(record.last_seq),
        };
        let print = |shown: Shown<'_>| shown.print(&mut view, self.json);
        follow(store, &record.id, FrameOptions::default(), until, print).await?;
        Ok(())
    }
}

async fn list(store: &dyn RunStore, limit: u16, json: bool) -> anyhow::Result<()> {
    let runs = store.list(usize::from(limit)).await?;
    if json {
        for run in runs {
            say(&serde_json::to_string(&run)?);
        }
        return Ok(());
    }
    match runs.as_slice() {
        [] => say("there are no runs"),
        runs => say(&table::of(runs)),
    }
    Ok(())
}

async fn cancel(store: &dyn RunStore, named: &str) -> anyhow::Result<()> {
    let run = find(store, named).await?.id;
    if !store.cancel(&run).await? {
        bail!("run {run} has ended already; there is nothing to cancel");
    }
    say(&format!(
        "run {run} is asked to end; `pullwright runs tail {run}` shows how it does"
    ));
    Ok(())
}

async fn say_to(store: &dyn RunStore, named: &str, text: String) -> anyhow::Result<()> {
    let run = find(store, named).await?.id;
    if text.trim().is_empty() {
        bail!("there is nothing to say; write the message after the run");
    }
    let message = NewMessage {
        id: uuid::Uuid::now_v7().to_string(),
        run: run.clone(),
        text,
        at_ms: now_ms(),
    };
    match store.post(message).await? {
        Posted::Accepted(_) => say(&format!(
            "the model of run {run} hears it before its next turn"
        )),
        Posted::Ended => bail!("run {run} has ended; nobody hears it any more"),
        Posted::Full => bail!("run {run} has {MAX_MESSAGES} messages, which is all that one takes"),
    }
    Ok(())
}

async fn export(store: &dyn RunStore, named: &str) -> anyhow::Result<()> {
    let run = find(store, named).await?.id;
    let (mut after, mut out) = (0, std::io::stdout().lock());
    loop {
        let events = store.read(&run, after, PAGE_EVENTS).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.seq;
        for event in &events {
            serde_json::to_writer(&mut out, event).context("cannot write the events")?;
            writeln!(out).context("cannot write the events")?;
        }
    }
}

async fn patch(store: &dyn RunStore, named: &str) -> anyhow::Result<()> {
    let run = find(store, named).await?.id;
    let Some(patch) = store.patch(&run).await? else {
        bail!("run {run} has no patch: it has changed nothing so far");
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&patch).context("cannot write the patch")
}

/// The run of this id, or the only one whose id begins like this.
async fn find(store: &dyn RunStore, named: &str) -> anyhow::Result<RunRecord> {
    let id = pullwright_protocol::RunId(named.to_owned());
    if let Some(run) = store.get(&id).await? {
        return Ok(run);
    }
    let latest = store.list(MAX_LISTED).await?;
    let mut alike = latest
        .into_iter()
        .filter(|run| !named.is_empty() && run.id.0.starts_with(named));
    match (alike.next(), alike.next()) {
        (Some(run), None) => Ok(run),
        (Some(one), Some(other)) => bail!(
            "`{named}` is the beginning of several ids, such as {} and {}",
            one.id,
            other.id
        ),
        (None, _) => bail!("there is no run `{named}`; `pullwright runs list` shows them"),
    }
}
