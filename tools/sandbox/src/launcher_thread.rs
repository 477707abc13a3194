//! The thread that starts processes.

use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Starts `command` on a thread that lives as long as the server: the kernel ends a child when the
/// thread that started it ends, and a runtime's threads come and go.
pub(crate) async fn start(command: Command) -> io::Result<Child> {
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
