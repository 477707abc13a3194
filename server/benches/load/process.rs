//! What a process uses, as /proc has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;

/// What the kernel counts in: 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// How often what has no peak in /proc is looked at: each look reads thousands of links. What comes and goes in
/// between is seen by [`Watch::look`], if at all.
const PACE: Duration = Duration::from_secs(2);

/// What a process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) resident_mib: f64,
    pub(crate) peak_mib: f64,
    /// Processor time, in seconds.
    pub(crate) own_cpu: f64,
    /// That of children that have ended.
    pub(crate) children_cpu: f64,
    pub(crate) peak: Open,
}

/// What a process has open.
#[derive(Clone, Copy, Default)]
pub(crate) struct Open {
    pub(crate) files: usize,
    /// Connections to the run store: each has the database file open once.
    pub(crate) databases: usize,
}

/// Looks at a process until it is dropped.
pub(crate) struct Watch {
    folder: PathBuf,
    peak: Arc<Mutex<Open>>,
    looking: AbortHandle,
}

impl Watch {
    pub(crate) fn start(process: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let peak = Arc::new(Mutex::new(Open::of(&folder)));
        let looking = tokio::spawn(look(folder.clone(), Arc::clone(&peak))).abort_handle();
        Self {
            folder,
            peak,
            looking,
        }
    }

    /// Looks at once, where the process is expected to have the most open.
    pub(crate) fn look(&self) {
        see(&self.folder, &self.peak);
    }

    pub(crate) fn usage(&self) -> Usage {
        let status = fs::read_to_string(self.folder.join("status")).unwrap();
        let stat = fs::read_to_string(self.folder.join("stat")).unwrap();
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        let times = after_name.split_ascii_whitespace().skip(11).take(4);
        let times: Vec<f64> = times.map(|ticks| ticks.parse().unwrap()).collect();
        Usage {
            resident_mib: mebibytes(&status, "VmRSS:"),
            peak_mib: mebibytes(&status, "VmHWM:"),
            own_cpu: (times[0] + times[1]) / TICKS_PER_SECOND,
            children_cpu: (times[2] + times[3]) / TICKS_PER_SECOND,
            peak: *self.peak.lock().unwrap(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Open {
    /// A process that has ended has nothing open.
    fn of(process: &Path) -> Self {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut open = Self::default();
        for file in files.flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            open.files += 1;
            open.databases += usize::from(target.ends_with("runs.sqlite"));
        }
        open
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            files: self.files.max(other.files),
            databases: self.databases.max(other.databases),
        }
    }
}

async fn look(folder: PathBuf, peak: Arc<Mutex<Open>>) {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        see(&folder, &peak);
    }
}

fn see(folder: &Path, peak: &Mutex<Open>) {
    let now = Open::of(folder);
    let mut peak = peak.lock().unwrap();
    *peak = peak.or_more(now);
}

fn mebibytes(status: &str, key: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.trim().parse::<f64>().unwrap() / 1024.0
}
