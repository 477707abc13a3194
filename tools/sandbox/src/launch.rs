//! Starts processes: another user, another session, no way to more rights.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use pullwright_core::sandbox::SandboxError;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

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

/// What becomes of a process between its start and its program.
#[derive(Clone, Copy)]
pub(crate) struct Confinement {
    /// The user to become, where it is another one.
    pub(crate) uid: Option<u32>,
    /// Whether it dies with the thread that starts it.
    pub(crate) dies: bool,
    /// Whether it may start programs that raise its rights.
    pub(crate) may_gain_rights: bool,
}

type Job = Box<dyn FnOnce() + Send>;

impl Launch {
    pub(crate) async fn start(self) -> Result<Child, SandboxError> {
        let program = self.argv.first().cloned().unwrap_or_default();
        self.check_cwd()?;
        let command = self.command(&program)?;
        let started = on_launcher(command).await;
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
    if program.is_empty() {
        return None;
    }
    if program.contains('/') {
        return Some(cwd.join(program));
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders
        .map(|folder| Path::new(folder).join(program))
        .find(|path| is_program(path))
}

/// Makes `command` start in a session of its own, without inherited descriptors, as told.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
pub(crate) fn confine(command: &mut Command, how: Confinement) {
    if let Some(uid) = how.uid {
        // As root, this also empties the list of supplementary groups.
        command.gid(uid).uid(uid);
    }
    let parent = how.dies.then(rustix::process::getpid);
    let keeps_rights = !how.may_gain_rights;
    // SAFETY: the closure only makes system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(move || between(parent, keeps_rights)) };
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

/// Between fork and exec, as the new user.
#[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
fn between(parent: Option<rustix::process::Pid>, keeps_rights: bool) -> io::Result<()> {
    // SAFETY: system calls without pointers.
    unsafe {
        // A session of its own has no terminal to type into, and is a group to kill.
        if libc::setsid() < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::umask(0o022);
    }
    #[cfg(target_os = "linux")]
    linux::between(parent, keeps_rights)?;
    #[cfg(not(target_os = "linux"))]
    let _ = (parent, keeps_rights);
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    /// The first descriptor after standard input, output and error.
    const FIRST_INHERITED: libc::c_uint = 3;

    #[expect(unsafe_code, reason = "the launcher acts between fork and exec")]
    pub(super) fn between(parent: Option<Pid>, keeps_rights: bool) -> io::Result<()> {
        // SAFETY: system calls without pointers.
        unsafe {
            if keeps_rights && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            // Close on exec, not now: the descriptor that reports a failed exec is among them.
            // Kernels before 5.11 do not know it; the server's own are closed on exec anyway.
            libc::syscall(
                libc::SYS_close_range,
                FIRST_INHERITED,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
        }
        let Some(parent) = parent else {
            return Ok(());
        };
        set_parent_process_death_signal(Some(Signal::KILL))?;
        match getppid() == Some(parent) {
            true => Ok(()),
            // The server died before the line above could notice.
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }
}

/// Starts `command` on a thread that lives as long as the server: the kernel ends a child when the
/// thread that started it ends, and a runtime's threads come and go.
async fn on_launcher(command: Command) -> io::Result<Child> {
    let (done, started) = oneshot::channel();
    let runtime = Handle::current();
    let job = move || {
        let _entered = runtime.enter();
        // A failed send drops the child's handle, which kills it: nobody waits for it any more.
        drop(done.send(spawn(command)));
    };
    let gone = || io::Error::other("the launcher thread is gone");
    launcher()?.send(Box::new(job)).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

fn spawn(command: Command) -> io::Result<Child> {
    tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
}

fn launcher() -> io::Result<Sender<Job>> {
    static LAUNCHER: OnceLock<Sender<Job>> = OnceLock::new();

    if let Some(launcher) = LAUNCHER.get() {
        return Ok(launcher.clone());
    }
    let (jobs, queue) = channel::<Job>();
    std::thread::Builder::new()
        .name("sandbox-launcher".to_owned())
        .spawn(move || queue.into_iter().for_each(|job| job()))?;
    // Of two threads made at once, the one without a sender ends before it has started anything.
    Ok(LAUNCHER.get_or_init(|| jobs).clone())
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
