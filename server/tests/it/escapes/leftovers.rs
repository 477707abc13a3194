//! What a sandbox may leave on the host when it has ended: nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::stage::Stage;
use crate::sandbox::bench::is_root;

/// The kernel takes a moment to end what was killed.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// Where control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The folder of our groups may be this deep below it.
const CGROUP_DEPTH: usize = 6;

/// What is still there of the sandbox of this stage.
pub(super) fn of(stage: &Stage) -> Option<String> {
    let begun = Instant::now();
    loop {
        let left = processes(stage);
        if left.is_empty() {
            return None;
        }
        if begun.elapsed() > PATIENCE {
            return Some(format!("outlived the command: {}", left.join(", ")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends what an attack that was meant to succeed left.
pub(super) fn end(stage: &Stage) {
    for left in processes(stage) {
        let pid = left
            .split(' ')
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        // It may have ended meanwhile.
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
}

/// The processes that see the stage's folders where nobody else mounts them, or that were given its
/// name.
fn processes(stage: &Stage) -> Vec<String> {
    let (path, id) = (stage.path().display().to_string(), stage.id());
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = pids.filter(|name| name.parse::<u32>().is_ok() && *name != own);
    let read = |pid: &str, file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
    };
    let is_left =
        |pid: &String| read(pid, "mountinfo").contains(&path) || read(pid, "cmdline").contains(&id);
    pids.filter(is_left)
        .map(|pid| format!("{pid} ({})", read(&pid, "comm").trim()))
        .collect()
}

/// The control groups of the command line with this number, which only root can make.
pub(super) fn groups(server: u32) -> Vec<String> {
    let mut found = Vec::new();
    if is_root() {
        look(
            Path::new(CGROUPS),
            CGROUP_DEPTH,
            &format!("command-{server}"),
            &mut found,
        );
    }
    found
}

fn look(folder: &Path, depth: usize, name: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        if path
            .file_name()
            .is_some_and(|file| file.to_string_lossy().contains(name))
        {
            found.push(path.display().to_string());
        } else if depth > 0 {
            look(&path, depth - 1, name, found);
        }
    }
}
