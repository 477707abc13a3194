//! `pullwright sandbox run`: one command in a sandbox, as a run would start it.

use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use pullwright_core::config::{Config, SandboxConfig};
use pullwright_core::removal::remove_tree;
use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox as OpenSandbox, SandboxCommand, SandboxHost, SandboxNotice,
    SandboxProcess,
};
use pullwright_protocol::RunId;
use pullwright_sandbox::Loan;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::complain;
use crate::compose;

/// How many notices of the sandbox may wait to be printed.
pub(super) const QUEUED_NOTICES: usize = 64;

/// How much of the input is read at once, and how many such pieces may wait for the command.
const INPUT_BYTES: usize = 64 * 1024;
const QUEUED_INPUT: usize = 4;

#[derive(Args)]
pub(super) struct Sandbox {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a command in a fresh sandbox, with its input, output and exit code passed through.
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// The folder to work in, which the command may change; a fresh one if absent.
    #[arg(long)]
    workspace: Option<PathBuf>,
    /// A host that may be reached; may be given several times.
    #[arg(long = "allow")]
    allow: Vec<String>,
    /// The configuration whose `[sandbox]` counts; the usual local sandbox if absent.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Sandbox {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.task {
            Task::Run(run) => run.run().await,
        }
    }
}

impl Run {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = stop_on_signals()?;
        let own = own_folder()?;
        let config = self.sandbox_config()?;
        pullwright_sandbox::harden_server()?;
        let executable = std::env::current_exe().context("cannot find this program's own file")?;
        let host = pullwright_sandbox::open_host(&config, own.path(), &executable)?;
        if let Some(warning) = host.warning() {
            complain(&format!("warning: {warning}"));
        }
        let workspace = match &self.workspace {
            Some(folder) => lent_workspace(folder)?,
            None => fresh_workspace(own.path())?,
        };
        let loan = Loan::of(&workspace)?;
        let exit = self.run_in(host, &workspace, &config, &stop).await;
        match &self.workspace {
            Some(_) => loan.give_back()?,
            // The command may have closed its folders.
            None => remove_tree(&workspace, &own.path().join("removal"))
                .with_context(|| format!("cannot remove {}", workspace.display()))?,
        }
        Ok(ExitCode::from(
            u8::try_from(exit?.shell_code()).unwrap_or(u8::MAX),
        ))
    }

    fn sandbox_config(&self) -> anyhow::Result<SandboxConfig> {
        Ok(match &self.config {
            Some(path) => compose::sandbox_config(&Config::load(path)?),
            None => SandboxConfig::default(),
        })
    }

    async fn run_in(
        &self,
        host: Arc<dyn SandboxHost>,
        workspace: &Path,
        config: &SandboxConfig,
        stop: &Stop,
    ) -> anyhow::Result<ProcessExit> {
        let (notices, told) = mpsc::channel(QUEUED_NOTICES);
        let telling = tokio::spawn(tell(told));
        let opening = Opening {
            warm: None,
            run: &RunId(format!("command-{}", std::process::id())),
            checkout: workspace,
            notices,
        };
        let sandbox = host.open(opening).await?;
        let exit = self.run_inside(sandbox.as_ref(), config, stop).await;
        let lost = sandbox.lost();
        let closed = sandbox.close().await;
        drop(sandbox);
        telling.await.context("the notices cannot be printed")?;
        if let Some(lost) = lost {
            return Err(lost.into());
        }
        closed?;
        exit
    }

    async fn run_inside(
        &self,
        sandbox: &dyn OpenSandbox,
        config: &SandboxConfig,
        stop: &Stop,
    ) -> anyhow::Result<ProcessExit> {
        let allow: Vec<String> = config
            .network
            .allow
            .iter()
            .chain(&self.allow)
            .cloned()
            .collect();
        sandbox.allow(&allow).await?;
        let command = SandboxCommand::new(self.command.iter().cloned());
        let process = sandbox.spawn(command).await?;
        let mut stopped = stop.clone();
        tokio::select! {
            exit = pass_through(process) => exit,
            Ok(signal) = stopped.wait_for(|signal| *signal != 0) => Ok(ProcessExit::Signal(*signal)),
        }
    }
}

/// The signal that came, 0 while none has.
type Stop = watch::Receiver<i32>;

/// From the start to the very end: a signal ends the command, and what was lent is given back.
fn stop_on_signals() -> anyhow::Result<Stop> {
    let (told, stop) = watch::channel(0);
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    for kind in kinds {
        let mut signals = signal(kind).context("cannot watch for signals")?;
        let told = told.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                told.send_replace(kind.as_raw_value());
            }
        });
    }
    Ok(stop)
}

/// A person's folder. The sandbox's user becomes its owner for a while, so it must not be one that
/// others live by.
pub(super) fn lent_workspace(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot work in {}", folder.display()))?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let holds_home = home.is_some_and(|home| {
        home.starts_with(&folder)
            || home
                .canonicalize()
                .is_ok_and(|home| home.starts_with(&folder))
    });
    if folder.components().count() <= SYSTEM_DEPTH || holds_home {
        anyhow::bail!(
            "{} is not a folder of one project; name one that the command may change",
            folder.display()
        );
    }
    Ok(folder)
}

/// `/` and the folders in it are the system's.
const SYSTEM_DEPTH: usize = 2;

/// Passes everything through until the command has ended and all it wrote is read.
async fn pass_through(process: SandboxProcess) -> anyhow::Result<ProcessExit> {
    let SandboxProcess {
        mut stdin,
        stdout,
        stderr,
        exit,
        kill,
    } = process;
    let mut input = own_input();
    let feeding = tokio::spawn(async move {
        while let Some(bytes) = input.recv().await {
            // A command need not read what it is given.
            if stdin.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let copied = tokio::join!(
        pass_on(stdout, tokio::io::stdout()),
        pass_on(stderr, tokio::io::stderr()),
        exit,
    );
    feeding.abort();
    drop(kill);
    copied
        .0
        .and(copied.1)
        .context("cannot pass on what the command writes")?;
    copied.2.context("the sandbox ended before the command did")
}

/// Passes everything on. When nobody reads it any more, nobody reads from the command either, which
/// then hears of it as it would without a sandbox.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut passing = async || {
        tokio::io::copy(&mut from, &mut to).await?;
        to.flush().await
    };
    match passing().await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        passed => passed,
    }
}

/// Standard input, read on a thread that nobody waits for: it may never end.
fn own_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, input) = mpsc::channel(QUEUED_INPUT);
    std::thread::spawn(move || {
        let mut buffer = vec![0; INPUT_BYTES];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    input
}

pub(super) async fn tell(mut notices: mpsc::Receiver<SandboxNotice>) {
    while let Some(notice) = notices.recv().await {
        let message = match notice {
            SandboxNotice::Network(access) => access.complaint(),
            SandboxNotice::Warning(message) | SandboxNotice::Progress(message) => Some(message),
            SandboxNotice::Used(used) => Some(format!("it used {used}")),
        };
        if let Some(message) = message {
            complain(&format!("pullwright: {message}"));
        }
    }
}

/// Users of sandboxes pass through it and do not look around.
pub(super) fn own_folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("pullwright-sandbox-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .context("cannot make a temporary folder")
}

pub(super) fn fresh_workspace(own: &Path) -> anyhow::Result<PathBuf> {
    let workspace = own.join("workspace");
    std::fs::create_dir(&workspace)
        .with_context(|| format!("cannot make {}", workspace.display()))?;
    Ok(workspace)
}
