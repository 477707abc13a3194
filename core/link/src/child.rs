//! A process on the host with nothing but the environment it was given.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

mod stderr;

use stderr::StderrTail;

/// What to start on the host.
#[derive(Clone, Default)]
pub struct ChildCommand {
    /// How logs and errors call it.
    pub name: String,
    /// The program: a path, or a name looked up in the given `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment; nothing is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// Its working folder; ours if absent.
    pub cwd: Option<PathBuf>,
}

/// A started process: its pipes, and the guard that ends it.
#[derive(Debug)]
pub struct ChildProcess {
    /// Its standard input.
    pub stdin: ChildStdin,
    /// Its standard output.
    pub stdout: ChildStdout,
    /// Ends the process, and all of its process group, when dropped.
    pub guard: ChildGuard,
}

/// Ends a process and all of its process group when dropped.
#[derive(Debug)]
pub struct ChildGuard {
    child: Child,
    stderr: StderrTail,
}

impl ChildCommand {
    /// Starts the process, in a process group of its own. What it writes to standard error goes to
    /// the log, up to a limit.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says, with the program's name.
    pub fn spawn(&self) -> io::Result<ChildProcess> {
        let mut child = self
            .command()
            .spawn()
            .map_err(|error| self.explain(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the process has no pipes"));
        };
        let stderr = StderrTail::drain(self.name.clone(), stderr);
        let guard = ChildGuard { child, stderr };
        Ok(ChildProcess {
            stdin,
            stdout,
            guard,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.find_program());
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    /// The program's path. A name would be looked up in the new process, for which all of this one must be
    /// copied first.
    fn find_program(&self) -> PathBuf {
        let folders = self.env.get(OsStr::new("PATH"));
        let cwd = self.cwd.as_deref().unwrap_or(Path::new("."));
        // Where there is none, the operating system says so.
        which::which_in(&self.program, folders, cwd)
            .unwrap_or_else(|_| PathBuf::from(&self.program))
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let program = Path::new(&self.program).display();
        let message = format!("cannot start {} (`{program}`): {error}", self.name);
        io::Error::new(error.kind(), message)
    }
}

/// Values of the environment may be secrets, so only names are shown.
impl fmt::Debug for ChildCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildCommand")
            .field("name", &self.name)
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .finish()
    }
}

impl ChildGuard {
    /// The last lines it wrote to standard error, for error messages.
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        self.stderr.text()
    }

    /// Waits up to `grace` for the process to end by itself (it should once its standard input is
    /// closed), then ends it and its process group.
    ///
    /// # Errors
    /// What the operating system says about waiting.
    pub async fn shutdown(mut self, grace: Duration) -> io::Result<ExitStatus> {
        let group = self.group();
        let ended = tokio::time::timeout(grace, self.child.wait()).await;
        kill_group(group);
        match ended {
            Ok(status) => status,
            Err(_) => self.child.wait().await,
        }
    }

    /// The process leads its group, so its id is the group's, as long as it is not waited for.
    fn group(&self) -> Option<Pid> {
        let id = i32::try_from(self.child.id()?).ok()?;
        Pid::from_raw(id)
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        kill_group(self.group());
    }
}

fn kill_group(group: Option<Pid>) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        // Nobody is left, which is what was wanted.
        tracing::trace!(?group, %error, "no process group to end");
    }
}
