//! A sandbox to try things in.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pullwright_core::sandbox::{ProcessExit, SandboxProcess};
use pullwright_sandbox::local::{HOME, InnerCommand, Launcher, Limits, LocalInit, Plan, WORKSPACE};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::support::in_time;

/// Where another launcher than the one just built is, for a user who cannot reach that.
pub(crate) const LAUNCHER: &str = "PULLWRIGHT_TEST_LAUNCHER";

/// Far from the numbers that servers give to runs.
const USERS: u32 = 410_000;

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) plan: Plan,
    pub(super) launcher: Launcher,
}

#[derive(Debug)]
pub(super) struct Ran {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) exit: ProcessExit,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(is_root().then(new_user))
    }

    /// With this user, whose id the host must have.
    pub(super) fn of(user: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, user, user).unwrap();
            path
        };
        let plan = Plan {
            workspace: made("checkout"),
            home: made("private"),
            read_only: Vec::new(),
            user,
            cgroup_procs: Vec::new(),
            limits: Limits {
                tmp_bytes: 16 << 20,
                shm_bytes: 8 << 20,
                processes: 64,
                open_files: 256,
                file_bytes: 32 << 20,
                disk_bytes: 8 << 30,
                memory_bytes: Some(1 << 30),
            },
            hostname: "box".to_owned(),
            proxy_port: None,
        };
        Self {
            folder,
            plan,
            launcher: Launcher::new(&launcher()),
        }
    }

    pub(super) async fn open(&self) -> LocalInit {
        let opened = in_time(self.launcher.open(&self.plan)).await;
        opened.unwrap_or_else(|error| panic!("{error}"))
    }
}

pub(crate) fn launcher() -> PathBuf {
    std::env::var_os(LAUNCHER).map_or_else(|| env!("CARGO_BIN_EXE_pullwright").into(), Into::into)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn new_user() -> u32 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);

    USERS + GIVEN.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn command(argv: &[&str]) -> InnerCommand {
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", HOME)];
    InnerCommand {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        cwd: WORKSPACE.into(),
    }
}

pub(super) fn sh(script: &str) -> InnerCommand {
    command(&["sh", "-c", script])
}

pub(super) async fn run(sandbox: &LocalInit, script: &str) -> Ran {
    let started = in_time(sandbox.spawn(sh(script))).await;
    finish(started.unwrap_or_else(|error| panic!("{error}"))).await
}

/// Closes the standard input and waits for the end.
pub(super) async fn finish(process: SandboxProcess) -> Ran {
    let SandboxProcess {
        stdin,
        mut stdout,
        mut stderr,
        exit,
        kill,
    } = process;
    drop(stdin);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = async { tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err)) };
    let (read_out, read_err) = in_time(read).await;
    read_out.and(read_err).unwrap();
    let exit = in_time(exit).await.unwrap();
    drop(kill);
    Ran {
        stdout: String::from_utf8_lossy(&out).into_owned(),
        stderr: String::from_utf8_lossy(&err).into_owned(),
        exit,
    }
}

/// What a process says until its first line ends.
pub(super) async fn first_line(process: &mut SandboxProcess) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(in_time(process.stdout.read_u8()).await.unwrap());
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// The names of the programs that run inside, without the one that looks.
pub(super) async fn programs(sandbox: &LocalInit) -> Vec<String> {
    let script = "for process in /proc/[0-9]*; do [ $process = /proc/$$ ] || \
                  { read -r name < $process/comm && echo $name; }; done 2> /dev/null";
    let ran = run(sandbox, script).await;
    let mut names: Vec<_> = ran.stdout.lines().map(ToOwned::to_owned).collect();
    names.sort();
    names
}

/// Nothing runs inside but our own processes. A supervisor whose word has just arrived may not have
/// ended yet.
pub(super) async fn nothing_runs(sandbox: &LocalInit) {
    let mut names = programs(sandbox).await;
    names.retain(|name| name != "supervisor");
    assert_eq!(names, ["init"]);
}

/// The processes below `ancestor`, by number and name, as the host sees them.
pub(super) fn descendants(ancestor: u32) -> Vec<(u32, String)> {
    let all: Vec<_> = processes().collect();
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(above) = parents.pop() {
        for (pid, parent, name) in &all {
            if *parent == above {
                parents.push(*pid);
                found.push((*pid, name.clone()));
            }
        }
    }
    found
}

/// The one of our own processes in the sandbox that has this name.
pub(super) fn own(sandbox_of: &Bench, name: &str) -> u32 {
    let workspace = &sandbox_of.plan.workspace;
    let all = descendants(std::process::id());
    let is_of = |pid: u32| {
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        mounts.contains(&*workspace.to_string_lossy())
    };
    let mut found = all
        .iter()
        .filter(|(pid, known)| known == name && is_of(*pid));
    found.next().map(|(pid, _)| *pid).unwrap()
}

/// Number, parent and name of every living process.
fn processes() -> impl Iterator<Item = (u32, u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, fields) = status.rsplit_once(')')?;
        let (_, name) = name.split_once('(')?;
        let mut fields = fields.split_ascii_whitespace();
        let living = !matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        living.then(|| (pid, parent, name.to_owned()))
    })
}

/// Waits until none of these runs any more.
pub(super) async fn all_gone(pids: &[u32]) {
    let left = || processes().any(|(pid, ..)| pids.contains(&pid));
    in_time(async {
        while left() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) fn make_executable(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(super) fn exists_inside(path: impl AsRef<OsStr>) -> String {
    format!("[ -e '{}' ] && echo there", path.as_ref().display())
}
