//! The sandbox seam: a place to spawn processes.
//!
//! Tool servers are ordinary stdio processes inside a sandbox, and checks are ordinary commands.
//! The seam knows nothing of MCP, git or models, so that any engine fits behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_protocol::{NetworkAccess, RunId, SandboxUsage};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// Opens sandboxes of one kind.
#[async_trait]
pub trait SandboxHost: Send + Sync {
    /// The kind, as written in `plugins.toml`.
    fn kind(&self) -> &'static str;

    /// Whether a sandbox works in the folder of the checkout itself. Otherwise it gets a copy of what is
    /// there, and a checkout need not hold more than its repository: its files can be written inside.
    fn shares_checkout(&self) -> bool {
        true
    }

    /// A sentence to print on every run where this kind keeps less than the usual promises.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Finds out whether this machine gives such a sandbox, before a run counts on it.
    async fn check(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Opens a sandbox. Nothing can be reached from inside before [`Sandbox::allow`].
    async fn open(&self, opening: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError>;

    /// Finds a sandbox again by the handle of an earlier [`Sandbox::handle`], whose owner has died or
    /// [left](Sandbox::leave) it: its files are there, its processes are not. It tells `notices` what
    /// happens in it from now on.
    async fn attach(
        &self,
        handle: &SandboxHandle,
        notices: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError>;

    /// The runs of which a dead server has left a sandbox that is still there.
    fn deserted(&self) -> Vec<RunId> {
        Vec::new()
    }

    /// Begins to end what a dead server has left of a run that nobody goes on with.
    fn end_deserted(&self, _run: &RunId) {}

    /// Waits until nothing goes on for a run whose sandboxes are all given up: one that was still being
    /// opened then, or did not close in time, may be ended in the background.
    async fn over(&self, _run: &RunId) {}
}

/// What a sandbox is opened for.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its checkout, a folder no untrusted process has touched yet.
    pub checkout: &'a Path,
    /// What setup makes in it goes by this name, if anything does: a kind that can may open it with what
    /// an earlier setup of the same name has made.
    pub warm: Option<&'a str>,
    /// Where the sandbox tells what happens in it. It waits for a slow reader, and does not mind
    /// one that is gone.
    pub notices: mpsc::Sender<SandboxNotice>,
}

/// Something that happened in a sandbox.
#[derive(Clone, Debug, PartialEq)]
pub enum SandboxNotice {
    /// A process asked for the network.
    Network(NetworkAccess),
    /// Something a person should know, such as a limit that was reached.
    Warning(String),
    /// How it gets on with being opened, such as a line of an image's build.
    Progress(String),
    /// What it used until its end.
    Used(SandboxUsage),
}

/// An open sandbox. Dropping it gives it up, as [`Sandbox::close`] does, but tells nobody how that went.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// The workspace's path as processes inside see it.
    fn workspace(&self) -> &Path;

    /// The program that runs Pullwright's own tool host inside, before its arguments.
    fn tool_host(&self) -> &Path;

    /// Starts a process.
    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError>;

    /// Lets processes inside reach these hosts from now on, and no others: what is under way to
    /// others is cut off. A kind that does not limit the network says so in its warning.
    async fn allow(&self, _hosts: &[String]) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Whether it was opened with what an earlier setup has made.
    fn is_warm(&self) -> bool {
        false
    }

    /// Keeps what setup has made in it for later sandboxes that are opened with the same name. Nothing
    /// that was not trusted before may have run in it. Kinds that cannot do nothing.
    async fn keep_warm(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Why it is gone, where it is and knows it. What fails in it afterwards has this reason.
    fn lost(&self) -> Option<SandboxError> {
        None
    }

    /// What [`SandboxHost::attach`] needs to find this sandbox again.
    fn handle(&self) -> SandboxHandle;

    /// Kills every process inside and keeps the rest for whoever [attaches](SandboxHost::attach).
    async fn leave(&self) -> Result<(), SandboxError>;

    /// Kills every process inside and gives everything back but the workspace.
    async fn close(&self) -> Result<(), SandboxError>;
}

/// What re-attaches to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxHandle {
    /// The kind of the host that understands it.
    pub kind: String,
    /// The kind's own data.
    pub data: serde_json::Value,
}

/// A process to start. Its environment is exactly the sandbox's own plus `env`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxCommand {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables to add.
    pub env: BTreeMap<String, String>,
    /// The working folder; the workspace if absent.
    pub cwd: Option<PathBuf>,
}

/// A running process. Dropping it kills the process.
pub struct SandboxProcess {
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// How it ended, once it has.
    pub exit: oneshot::Receiver<ProcessExit>,
    /// Kills the process and everything it started that can be found.
    pub kill: KillSwitch,
}

/// Kills a process when told to, or when dropped.
pub struct KillSwitch(Option<Box<dyn FnOnce() + Send + Sync>>);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessExit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Why a sandbox could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The machine or the service refuses the sandbox.
    #[error("the {kind} sandbox cannot be opened: {reason}; {remedy}")]
    Refused {
        /// The sandbox's kind.
        kind: &'static str,
        /// What was refused, with the error number.
        reason: String,
        /// What a person can do about it.
        remedy: String,
    },
    /// A process could not be started.
    #[error("cannot start `{program}` in the sandbox: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The sandbox is gone.
    #[error("the {kind} sandbox is gone: {reason}")]
    Lost {
        /// The sandbox's kind.
        kind: &'static str,
        /// What is known of it.
        reason: String,
    },
    /// Something the sandbox needs on the host failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on which thing.
        what: String,
        /// The reason.
        source: std::io::Error,
    },
}

impl SandboxCommand {
    /// A command of these words.
    pub fn new<I>(argv: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

impl KillSwitch {
    /// A switch that runs `kill` once.
    pub fn new(kill: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(kill)))
    }

    /// Kills now.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for KillSwitch {
    fn drop(&mut self) {
        if let Some(kill) = self.0.take() {
            kill();
        }
    }
}

impl ProcessExit {
    /// The exit code as a shell reports it: 128 + n for signal n.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Debug for SandboxProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxProcess").finish_non_exhaustive()
    }
}
