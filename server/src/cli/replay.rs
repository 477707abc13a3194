//! `pullwright replay`: a recorded run, driven again offline.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use pullwright_protocol::{Event, RunId};
use tokio_util::sync::CancellationToken;

use super::runs::Whereabouts;
use super::{complain, config, say};
use crate::replay::{Difference, Recording, Replay, Replayed, Tools};
use crate::retention::ArchivedEvents;

/// The exit codes beside success.
const DIFFERS: u8 = 1;
const NOT_REPLAYED: u8 = 2;

/// How many differences are shown: what differs once differs on and on.
const MAX_SHOWN: usize = 5;

#[derive(Args)]
pub(super) struct ReplayRun {
    /// The run, or the beginning of its id.
    #[arg(required_unless_present = "log")]
    run: Option<String>,
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// Replay this file instead, which `pullwright runs export` printed or an archive holds.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "database", "archive"])]
    log: Option<PathBuf>,
    /// A clone that has the commit the run started from; this machine's mirror if absent.
    #[arg(long, value_name = "PATH")]
    repository: Option<PathBuf>,
    /// What plays the tools, the sandbox and the checks.
    #[arg(long, value_enum, default_value_t = Played::Real)]
    tools: Played,
    /// Keep the replay's folder, with the events of both runs, and say where it is.
    #[arg(long)]
    keep: bool,
}

/// What plays the tools.
#[derive(Clone, Copy, ValueEnum)]
enum Played {
    /// The real ones.
    Real,
    /// What is recorded of them, so that only the loop itself can differ. Needs no sandbox.
    Recorded,
}

/// A recorded run, and what is kept beside its log.
struct Recorded {
    run: Option<RunId>,
    events: Vec<Event>,
    patch: Option<Vec<u8>>,
}

impl ReplayRun {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.replay().await {
            Ok(replayed) => Ok(told(&replayed)),
            Err(error) => {
                complain(&format!("error: the run could not be replayed: {error:#}"));
                Ok(ExitCode::from(NOT_REPLAYED))
            }
        }
    }

    async fn replay(&self) -> anyhow::Result<Replayed> {
        let named = self.whereabouts.place.config_file();
        let config = config::load(named)?;
        let recorded = self.recorded().await?;
        let folder = make_folder()?;
        let path = folder.path().canonicalize()?;
        if self.keep {
            write_events(&path.join("recorded.jsonl"), &recorded.events)?;
        }
        let replay = Replay {
            data_dir: config::data_dir(&config)?,
            config_file: config::path(named)?,
            recording: Recording::of(recorded.run, recorded.events)?,
            patch: recorded.patch,
            repository: self.repository.clone(),
            folder: path.clone(),
            tools: match self.tools {
                Played::Real => Tools::Real,
                Played::Recorded => Tools::Recorded,
            },
            config,
        };
        pullwright_sandbox::harden_server()?;
        let replayed = replay.run(&stop_on_interrupt()).await?;
        if self.keep {
            write_events(&path.join("replayed.jsonl"), &replayed.events)?;
            let _ = folder.keep();
            complain(&format!(
                "the events of both runs are in {}",
                path.display()
            ));
        }
        Ok(replayed)
    }

    async fn recorded(&self) -> anyhow::Result<Recorded> {
        let (Some(named), None) = (&self.run, &self.log) else {
            return self.exported();
        };
        let place = self.whereabouts.find(named).await?;
        let mut events = Vec::new();
        let take = |logged: pullwright_protocol::LoggedEvent| {
            events.push(logged.event);
            Ok(())
        };
        place.each_event(take).await?;
        Ok(Recorded {
            run: Some(place.run().clone()),
            events,
            patch: place.patch().await?,
        })
    }

    fn exported(&self) -> anyhow::Result<Recorded> {
        let Some(file) = &self.log else {
            bail!("name a run, or a file with --log");
        };
        let events = ArchivedEvents::open(file)?;
        let events = events.map(|logged| Ok(logged?.event));
        Ok(Recorded {
            run: None,
            events: events.collect::<anyhow::Result<_>>()?,
            patch: None,
        })
    }
}

/// The sandbox's users must be able to pass through, though not to look around.
fn make_folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("pullwright-replay-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir();
    folder.context("cannot make a temporary folder")
}

fn stop_on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    stop
}

fn write_events(path: &Path, events: &[Event]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for event in events {
            serde_json::to_writer(&mut file, event)?;
            writeln!(file)?;
        }
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn told(replayed: &Replayed) -> ExitCode {
    let differences = &replayed.differences;
    if differences.is_empty() {
        say(&same(replayed));
        return ExitCode::SUCCESS;
    }
    for Difference {
        what,
        recorded,
        now,
    } in differences.iter().take(MAX_SHOWN)
    {
        let shown = |text: &Option<String>| match text {
            Some(text) => text.replace('\n', "\n            "),
            None => "nothing".to_owned(),
        };
        say(&format!(
            "differs: {what}\n  recorded: {}\n  now:      {}",
            shown(recorded),
            shown(now)
        ));
    }
    if let Some(more @ 1..) = differences.len().checked_sub(MAX_SHOWN) {
        say(&format!("and {more} more"));
    }
    ExitCode::from(DIFFERS)
}

fn same(replayed: &Replayed) -> String {
    let count = |is: fn(&Event) -> bool| replayed.events.iter().filter(|event| is(event)).count();
    format!(
        "identical: {} replies, {} tool calls, {} checks, and the same end",
        replayed.replies,
        count(|event| matches!(event, Event::ToolAnswered { .. })),
        count(|event| matches!(event, Event::Checked { .. })),
    )
}
