//! Starts processes: another user, another session, no way to more rights.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pullwright_core::sandbox::SandboxError;
use tokio::process::Child;

use crate::confine::{Confinement, confine};
use crate::launcher_thread;

/// What to start.
pub(crate) struct Launch {
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// The user to become, where it is another one.
    pub(crate) uid: Option<u32>,
    /// Whether it may start programs that raise its rights, as rootless engines do.
    pub(crate) may_gain_rights: bool,
}

impl Launch {
    pub(crate) async fn start(self) -> Result<Child, SandboxError> {
        let program = self.argv.first().cloned().unwrap_or_default();
        self.check_cwd()?;
        let command = self.command(&program)?;
        let started = launcher_thread::start(command).await;
        started.map_err(|source| SandboxError::Spawn { program, source })
    }

    /// A missing folder and a missing program are the same error to the kernel.
    fn check_cwd(&self) -> Result<(), SandboxError> {
        let source = match self.cwd.metadata() {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => io::ErrorKind::NotADirectory.into(),
            Err(error) => error,
        };
        Err(SandboxError::Io {
            what: format!("cannot start in the folder {}", self.cwd.display()),
            source,
        })
    }

    fn command(&self, program: &str) -> Result<Command, SandboxError> {
        let found = self.find(program).ok_or_else(|| SandboxError::Spawn {
            program: program.to_owned(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                "there is no such program in the sandbox's PATH",
            ),
        })?;
        let mut command = Command::new(found);
        command
            .args(self.argv.iter().skip(1))
            .env_clear()
            .envs(&self.env);
        command.current_dir(&self.cwd);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let confinement = Confinement {
            uid: self.uid,
            dies: true,
            may_gain_rights: self.may_gain_rights,
        };
        confine(&mut command, confinement);
        Ok(command)
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let path = self.env.get("PATH").map_or("", String::as_str);
        find_program(program, path, &self.cwd)
    }
}

/// Where `program` is: as seen from `cwd` if it has a slash, else in a folder of `path`.
pub(crate) fn find_program(program: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    which::which_in(program, Some(path), cwd).ok()
}

/// Kills every process that `uid` may kill. The kernel does it in one step, so that nothing can
/// fork its way out.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
pub(crate) fn kill_user(uid: u32) -> io::Result<()> {
    let mut command = Command::new("/");
    command.gid(uid).uid(uid).env_clear();
    let kill = || {
        // SAFETY: both are system calls; the process is a fresh child of another user, which has
        // not been told to run anything.
        unsafe {
            libc::kill(-1, libc::SIGKILL);
            libc::_exit(0)
        }
    };
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(kill) };
    command.status().map(drop)
}
