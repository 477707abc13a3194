//! What becomes of a process whose parent ended before it.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

use crate::processes::Process;

static ADOPTING: AtomicBool = AtomicBool::new(false);

/// The shells of running commands: the only children of this process that were not adopted.
static SHELLS: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);

/// Makes this process a dedicated host of commands. To be called once, at the start of a process
/// that starts other processes only through [`crate::Shell`].
///
/// It leaves its terminal, so that no command can ask there. On Linux it also becomes the parent of
/// every process that its commands orphan: none can hide from the end of its command or of the
/// server, not even one with a session and an environment of its own.
///
/// # Errors
/// When the kernel does not let it adopt orphans.
pub fn own_process() -> io::Result<()> {
    // Refused only where the process already leads a group, then it may keep its terminal.
    let _ = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        ADOPTING.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The shells of running commands. While this is held no shell is started and no orphan is reaped.
pub(crate) fn shells() -> MutexGuard<'static, HashSet<i32>> {
    SHELLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the process was orphaned by a command and adopted by this one.
pub(crate) fn is_adopted(process: &Process) -> bool {
    ADOPTING.load(Ordering::Relaxed)
        && process.parent == rustix::process::getpid().as_raw_pid()
        && !shells().contains(&process.pid.as_raw_pid())
}

/// Forgets the adopted processes that have ended; nobody else would.
pub(crate) fn reap() {
    if !ADOPTING.load(Ordering::Relaxed) {
        return;
    }
    let shells = shells();
    if !any_child_ended() {
        return;
    }
    for child in children().into_iter().filter(|pid| !shells.contains(pid)) {
        if let Some(pid) = Pid::from_raw(child) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

/// Whether there is anything to forget, which is rare. The child, if any, is not taken away from whoever
/// waits for it.
fn any_child_ended() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, look), Ok(None) | Err(_))
}

/// The children of this process, as listed by the kernel per thread.
fn children() -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_ascii_whitespace().map(str::parse);
            pids.flatten().collect::<Vec<i32>>()
        })
        .collect()
}
