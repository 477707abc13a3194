//! The launcher, as the server has it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use pullwright_core::sandbox::SandboxError;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::Child;
use tokio::sync::Mutex;

use super::connection::Connection;
use super::open::{self, Unopened};
use super::{LocalInit, is_gone};
use crate::confine::{Confinement, confine};
use crate::launcher_thread;
use crate::local::LAUNCHER_ARGUMENT;
use crate::local::plan::Plan;
use crate::local::wire::{self, Request};

/// What everybody inside can read as the command line of process 1, instead of the host's path.
const NAME: &str = "pullwright";

/// Opens sandboxes. One is enough for a server; it starts when the first sandbox is opened.
pub struct Launcher {
    executable: PathBuf,
    running: Mutex<Option<Arc<Running>>>,
}

/// The launcher's process, which lives as long as a sandbox of it does.
pub(super) struct Running {
    control: Connection,
    /// Killed when dropped, and every sandbox of it with it.
    _process: Child,
}

impl Launcher {
    /// A launcher of this executable, which must call [`launcher_main`] when its first argument is
    /// [`LAUNCHER_ARGUMENT`].
    ///
    /// [`launcher_main`]: crate::local::launcher_main
    #[must_use]
    pub fn new(executable: &Path) -> Self {
        Self {
            executable: executable.to_owned(),
            running: Mutex::default(),
        }
    }

    /// Opens a sandbox.
    ///
    /// # Errors
    /// The kernel refuses a step, which the error names with its remedy.
    pub async fn open(&self, plan: &Plan) -> Result<LocalInit, SandboxError> {
        let (ours, theirs) = pair().map_err(self.failed("make a socket for"))?;
        let file = plan.to_file().map_err(self.failed("write a plan for"))?;
        let running = self.ask(&file, &theirs).await?;
        drop(theirs);
        let connection = Connection::new(ours).map_err(self.failed("talk to"))?;
        let opened = open::finish(running, connection, plan.user).await;
        opened.map_err(|unopened| match unopened {
            Unopened::Refused(refusal) => refusal,
            Unopened::Silent(error) => self.failed("open a sandbox with")(error),
        })
    }

    /// Passes the request on, to a new launcher if the one that ran is gone.
    async fn ask(&self, plan: &OwnedFd, socket: &OwnedFd) -> Result<Arc<Running>, SandboxError> {
        let failed = self.failed("ask");
        let request = wire::packet(&Request::Open).map_err(self.failed("ask"))?;
        let attached = [plan.as_fd(), socket.as_fd()];
        let mut running = self.running.lock().await;
        if let Some(running) = &*running {
            match running.control.send(&request, &attached).await {
                Ok(()) => return Ok(Arc::clone(running)),
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let started = self.start().await.map_err(self.failed("start"))?;
        let sent = started.control.send(&request, &attached).await;
        sent.map_err(failed)?;
        Ok(Arc::clone(running.insert(Arc::new(started))))
    }

    async fn start(&self) -> io::Result<Running> {
        let (ours, theirs) = pair()?;
        let mut command = Command::new(&self.executable);
        command.arg0(NAME).arg(LAUNCHER_ARGUMENT);
        command.env_clear().current_dir("/");
        command
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let confinement = Confinement {
            uid: None,
            dies: true,
            may_gain_rights: false,
        };
        confine(&mut command, confinement);
        Ok(Running {
            control: Connection::new(ours)?,
            _process: launcher_thread::start(command).await?,
        })
    }

    fn failed(&self, what: &str) -> impl Fn(io::Error) -> SandboxError + use<> {
        let what = format!("cannot {what} the launcher {}", self.executable.display());
        move |source| SandboxError::Io {
            what: what.clone(),
            source,
        }
    }
}

/// Both ends of a socket that keeps messages apart and carries descriptors.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let family = AddressFamily::UNIX;
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(family, SocketType::SEQPACKET, flags, None)?)
}
