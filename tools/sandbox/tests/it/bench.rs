//! A sandbox to try things in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox, SandboxCommand, SandboxError, SandboxHost, SandboxProcess,
};
use pullwright_protocol::RunId;
use pullwright_sandbox::NoneHost;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

/// Nothing here takes long; what does hangs.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    pub(crate) data: TempDir,
    pub(crate) host: NoneHost,
}

pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: ProcessExit,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let data = private_folder();
        let host = NoneHost::new(data.path(), Path::new("/bin/sh")).unwrap();
        Self { data, host }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Sandbox> {
        let run = new_run();
        let checkout = self.checkout(&run);
        open_in(&self.host, &run, &checkout).await.unwrap()
    }

    /// A folder with a file in it.
    pub(crate) fn checkout(&self, run: &RunId) -> PathBuf {
        let checkout = self.data.path().join("checkouts").join(&run.0);
        fs::create_dir_all(&checkout).unwrap();
        fs::write(checkout.join("file"), "content\n").unwrap();
        checkout
    }
}

/// Opens a sandbox whose notices nobody reads.
pub(crate) async fn open_in(
    host: &dyn SandboxHost,
    run: &RunId,
    checkout: &Path,
) -> Result<Arc<dyn Sandbox>, SandboxError> {
    let opening = Opening {
        warm: None,
        run,
        checkout,
        notices: tokio::sync::mpsc::channel(1).0,
    };
    host.open(opening).await
}

/// A folder that no other user can enter, as a home folder may be.
pub(crate) fn private_folder() -> TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .permissions(mode)
        .tempdir()
        .unwrap()
}

pub(crate) fn new_run() -> RunId {
    static RUNS: AtomicU32 = AtomicU32::new(0);

    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    RunId(format!("test-{}-{number}", std::process::id()))
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test, which needs a user for each run, is skipped.
pub(crate) fn skipped_without_root() -> bool {
    if !is_root() {
        eprintln!("SKIPPED: only root can give a run a user of its own");
    }
    !is_root()
}

pub(crate) fn sh(script: &str) -> SandboxCommand {
    SandboxCommand::new(["sh", "-c", script])
}

pub(crate) async fn run(sandbox: &dyn Sandbox, command: SandboxCommand) -> Ran {
    finish(sandbox.spawn(command).await.unwrap()).await
}

pub(crate) async fn finish(process: SandboxProcess) -> Ran {
    let SandboxProcess {
        stdin,
        mut stdout,
        mut stderr,
        exit,
        kill,
    } = process;
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let all = async {
        let (read_out, read_err) = tokio::join!(
            stdout.read_to_string(&mut out),
            stderr.read_to_string(&mut err)
        );
        read_out.unwrap();
        read_err.unwrap();
        exit.await.unwrap()
    };
    let exit = bounded(all).await;
    drop(kill);
    Ran {
        stdout: out,
        stderr: err,
        exit,
    }
}

/// The first `count` lines of a process, which are numbers of processes.
pub(crate) async fn pids(process: &mut SandboxProcess, count: usize) -> Vec<u32> {
    let mut lines = BufReader::new(&mut process.stdout).lines();
    let mut pids = Vec::new();
    while pids.len() < count {
        let line = bounded(lines.next_line()).await.unwrap().unwrap();
        pids.push(line.trim().parse().unwrap());
    }
    pids
}

pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONGEST, future)
        .await
        .expect("it hangs")
}

/// Waits until none of these processes runs.
pub(crate) async fn gone(pids: &[u32]) {
    bounded(async {
        while pids.iter().any(|pid| runs(*pid)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Whether a process runs. One that only waits for its parent does not.
pub(crate) fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim_start().starts_with(['Z', 'X']))
}

/// How many processes of a user run.
pub(crate) fn processes_of(uid: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| runs(*pid) && is_of(*pid, uid)).count()
}

fn is_of(pid: u32, uid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.is_some_and(|uids| uids.split_whitespace().any(|found| found == uid))
}
