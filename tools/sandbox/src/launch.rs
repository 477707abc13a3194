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

/// Where `program` is: as seen from `cwd` if it has a slash, whatever is there, since the kernel says best why
/// it cannot be started; else in a folder of `path`.
///
/// Entries of `path` that are not absolute count for nothing. An empty one means the folder that a program is
/// started in, which may be a repository's: it would bring programs of its own to this machine.
pub(crate) fn find_program(program: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(cwd.join(program));
    }
    let absolute = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    let path = std::env::join_paths(absolute).ok()?;
    // An empty list would be one of an empty entry.
    if path.is_empty() {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_of_the_working_folder_is_not_found_by_its_name() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cwd, bin) = (folder.path(), elsewhere.path().to_str().unwrap());
        let is_found_in = |path: &str| find_program("engine", path, cwd);
        for place in [cwd.to_owned(), cwd.join("bin")] {
            fs::create_dir_all(&place).unwrap();
            write_program(&place.join("engine"));
        }
        for path in ["", ":", ".", "bin", "./bin", "../", "::bin:.:"] {
            assert_eq!(is_found_in(path), None, "{path:?}");
        }
        assert_eq!(is_found_in(&format!(":.:{bin}:bin:")), None);
        write_program(&elsewhere.path().join("engine"));
        let found = elsewhere.path().join("engine");
        for path in [bin.to_owned(), format!(":bin:{bin}"), format!("{bin}:.")] {
            assert_eq!(is_found_in(&path), Some(found.clone()), "{path:?}");
        }
    }

    #[test]
    fn a_program_with_a_slash_is_left_to_the_kernel() {
        let cwd = Path::new("/srv/shop");
        for (program, found) in [
            ("/usr/bin/engine", "/usr/bin/engine"),
            ("./engine", "/srv/shop/./engine"),
            ("bin/engine", "/srv/shop/bin/engine"),
        ] {
            let path = find_program(program, "", cwd);
            assert_eq!(path.as_deref(), Some(Path::new(found)));
        }
        assert_eq!(find_program("", "/usr/bin", cwd), None);
    }

    fn write_program(path: &Path) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
