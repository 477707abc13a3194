//! What becomes of processes whose parent ended.

use std::io;

use crate::sweep;

/// Becomes the parent of every process that ours orphan, so that none can leave.
pub(super) fn adopt() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Forgets the adopted processes that have ended; nobody else would. The kernel gives orphans to the
/// first thread, and our own processes are children of the thread that starts them.
pub(super) fn strangers() {
    let own = rustix::process::getpid().as_raw_pid();
    let list = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
    let list = list.unwrap_or_default();
    let pids = list
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok());
    for pid in pids.filter_map(rustix::process::Pid::from_raw) {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

/// Kills everything that came from here.
pub(super) async fn kill_all() {
    let killed = tokio::task::spawn_blocking(sweep::descendants).await;
    if let Ok(Err(error)) = killed {
        tracing::warn!(%error, "cannot kill every process of the sandbox");
    }
    strangers();
}
