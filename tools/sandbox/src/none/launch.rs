//! Starts processes: another user, another session, no way to more rights.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pullwright_core::sandbox::SandboxError;
use tokio::process::Child;

use crate::confine::confine;
use crate::launcher_thread;

/// What to start.
pub(super) struct Launch {
    pub(super) argv: Vec<String>,
    /// The whole environment.
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    /// The user to become, where it is another one.
    pub(super) uid: Option<u32>,
}

impl Launch {
    pub(super) async fn start(self) -> Result<Child, SandboxError> {
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
        confine(&mut command, self.uid, true);
        Ok(command)
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        if program.is_empty() {
            return None;
        }
        if program.contains('/') {
            return Some(self.cwd.join(program));
        }
        let folders = self
            .env
            .get("PATH")?
            .split(':')
            .filter(|folder| !folder.is_empty());
        folders
            .map(|folder| Path::new(folder).join(program))
            .find(|path| is_program(path))
    }
}

/// Kills every process that `uid` may kill. The kernel does it in one step, so that nothing can
/// fork its way out.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
pub(super) fn kill_user(uid: u32) -> io::Result<()> {
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

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
