//! `pullwright runs`: the runs of this machine's store, also while a server is at work on it.

mod follow;
mod place;
mod table;
mod tell;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use pullwright_core::store::{RunFilter, RunPlace};
use pullwright_protocol::{Frame, FrameOptions};

use super::say;
use super::view::View;
use super::workbench::Workbench;

pub(super) use follow::{Shown, follow};
pub(super) use place::{Place, Whereabouts};
pub(super) use table::age;

/// How many runs are listed at once.
const PAGE_RUNS: usize = 100;

#[derive(Args)]
pub(super) struct Runs {
    #[command(flatten)]
    whereabouts: Whereabouts,
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
        /// List all there are.
        #[arg(long, conflicts_with = "limit")]
        all: bool,
        /// Print them as JSON, one a line.
        #[arg(long)]
        json: bool,
    },
    /// Show what happened in a run so far.
    Show(Named),
    /// Show what happened in a run, and what happens until its end.
    Tail(Named),
    /// Go on in this process with a run that nobody is at work on any more, also with one of a local path.
    Resume(Named),
    /// Ask the server that is at work on a run to end it; its patch is kept.
    Cancel {
        /// The run, or the beginning of its id.
        run: String,
    },
    /// Say something to the model that works on a run; it hears it before its next turn. A run that has
    /// ended is gone on with by another one, on the same branch and pull request.
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
        let whereabouts = &self.whereabouts;
        match self.task {
            Task::List { limit, all, json } => {
                let most = (!all).then_some(usize::from(limit));
                list(whereabouts, most, json).await?;
            }
            Task::Show(named) => show(whereabouts, &named).await?,
            Task::Tail(named) => tail(whereabouts, &named).await?,
            Task::Resume(named) => return resume(whereabouts, &named).await,
            Task::Cancel { run } => cancel(whereabouts, &run).await?,
            Task::Say { run, message } => tell::tell(whereabouts, &run, &message).await?,
            Task::Export { run } => export(whereabouts, &run).await?,
            Task::Patch { run } => patch(whereabouts, &run).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists the latest runs, `most` of them or all, a page at a time.
async fn list(whereabouts: &Whereabouts, most: Option<usize>, json: bool) -> anyhow::Result<()> {
    let most = most.unwrap_or(usize::MAX);
    if let Some(archive) = whereabouts.named_archive() {
        let runs = archive.find("")?;
        // Ids begin with the time.
        let latest = runs.iter().rev().take(most);
        latest.for_each(|run| say(&run.0));
        return Ok(());
    }
    let store = whereabouts.store().await?;
    let (mut after, mut left) = (None, most);
    while left > 0 {
        let limit = left.min(PAGE_RUNS);
        let runs = store
            .page(&RunFilter::default(), after.as_ref(), limit)
            .await?;
        let Some(last) = runs.last() else { break };
        after = Some(RunPlace::from(last));
        left -= runs.len();
        match json {
            true => runs.iter().try_for_each(|run| {
                say(&serde_json::to_string(run)?);
                anyhow::Ok(())
            })?,
            false => say(&table::of(&runs)),
        }
    }
    if after.is_none() && !json {
        say("there are no runs");
    }
    Ok(())
}

async fn show(whereabouts: &Whereabouts, named: &Named) -> anyhow::Result<()> {
    let place = whereabouts.find(&named.run).await?;
    let mut view = View::new(std::io::stdout().is_terminal());
    let run = place.run().clone();
    place
        .each_event(|logged| {
            let frame = Frame::of(&run, &logged.event, FrameOptions::default());
            frame.map_or(Ok(()), |frame| Shown(&frame).print(&mut view, named.json))
        })
        .await
}

async fn tail(whereabouts: &Whereabouts, named: &Named) -> anyhow::Result<()> {
    let (store, record) = match whereabouts.find(&named.run).await? {
        Place::Store { store, record } => (store, record),
        Place::Archive { .. } => return show(whereabouts, named).await,
    };
    let mut view = View::new(std::io::stdout().is_terminal());
    let print = |shown: Shown<'_>| shown.print(&mut view, named.json);
    follow(store.as_ref(), &record.id, FrameOptions::default(), print).await?;
    Ok(())
}

async fn resume(whereabouts: &Whereabouts, named: &Named) -> anyhow::Result<ExitCode> {
    let found = whereabouts.find(&named.run).await?;
    let run = found.run().clone();
    match found {
        Place::Store { record, .. } if record.outcome.is_none() => {}
        _ => bail!("run {run} has ended; `pullwright runs show {run}` shows how"),
    }
    let place = &whereabouts.place;
    let workbench = Workbench::open(place.config_file(), place.database()?).await?;
    workbench.resume(&run, named.json).await
}

async fn cancel(whereabouts: &Whereabouts, named: &str) -> anyhow::Result<()> {
    let place = whereabouts.find(named).await?;
    let run = place.run();
    let over = || anyhow!("run {run} has ended already; there is nothing to cancel");
    let Place::Store { store, .. } = &place else {
        return Err(over());
    };
    if !store.cancel(run).await? {
        return Err(over());
    }
    say(&match store.orphans().await?.contains(run) {
        false => {
            format!("run {run} is asked to end; `pullwright runs tail {run}` shows how it does")
        }
        true => format!(
            "run {run} is asked to end, and nobody is at work on it: `pullwright runs resume {run}` saves \
             its work and ends it, and so does the next server unless it is of a local path"
        ),
    });
    Ok(())
}

async fn export(whereabouts: &Whereabouts, named: &str) -> anyhow::Result<()> {
    let place = whereabouts.find(named).await?;
    let mut out = std::io::stdout().lock();
    let written = place
        .each_event(|event| {
            let mut line = serde_json::to_vec(&event).context("cannot write the events")?;
            line.push(b'\n');
            write(&mut out, &line).context("cannot write the events")
        })
        .await;
    unless_closed(written)
}

async fn patch(whereabouts: &Whereabouts, named: &str) -> anyhow::Result<()> {
    let place = whereabouts.find(named).await?;
    let Some(patch) = place.patch().await? else {
        bail!(
            "run {} has no patch: it has changed nothing so far",
            place.run()
        );
    };
    let mut out = std::io::stdout().lock();
    unless_closed(write(&mut out, &patch).context("cannot write the patch"))
}

/// Whoever reads has enough of it, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads any more")]
struct Closed;

fn write(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    match out.write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written?),
    }
}

fn unless_closed(written: anyhow::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.is::<Closed>() => Ok(()),
        written => written,
    }
}
