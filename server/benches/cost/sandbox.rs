//! The local sandbox: its start, a command in it, its memory; beside bubblewrap where that is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{Opening, Sandbox, SandboxCommand, SandboxHost};
use pullwright_core::tools::{ToolIo, ToolServer};
use pullwright_protocol::RunId;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::sample::{Sample, print_value};
use crate::server::{PULLWRIGHT, open_folder};
use crate::tools::{call, calls, connect, connect_over};
use crate::{Effort, bare};

/// One sandbox after the other, then many at once.
pub(crate) fn measure(effort: Effort) {
    let runtime = pullwright::runtime::server_runtime().unwrap();
    runtime.block_on(async {
        let yard = Yard::new();
        if let Err(refusal) = yard.host.check().await {
            print_value("the local sandbox is refused here", refusal.to_string());
            return;
        }
        starts(&yard, effort).await;
        commands(&yard, effort).await;
        memory(&yard, effort).await;
    });
}

struct Yard {
    folder: TempDir,
    host: Arc<dyn SandboxHost>,
    opened: std::cell::Cell<usize>,
}

impl Yard {
    fn new() -> Self {
        let folder = open_folder();
        let data = folder.path().join("data");
        let config = SandboxConfig::default();
        let host = pullwright_sandbox::open_host(&config, &data, Path::new(PULLWRIGHT));
        Self {
            folder,
            host: host.unwrap(),
            opened: std::cell::Cell::new(0),
        }
    }

    fn checkout(&self) -> (RunId, PathBuf) {
        let number = self.opened.replace(self.opened.get() + 1);
        let run = RunId(format!("bench-{}-{number}", std::process::id()));
        let checkout = self.folder.path().join("runs").join(&run.0);
        std::fs::create_dir_all(&checkout).unwrap();
        (run, checkout)
    }

    async fn open(&self) -> Arc<dyn Sandbox> {
        let (run, checkout) = self.checkout();
        let opening = Opening {
            warm: None,
            run: &run,
            checkout: &checkout,
            notices: mpsc::channel(1).0,
        };
        self.host.open(opening).await.unwrap()
    }
}

async fn starts(yard: &Yard, effort: Effort) {
    let (mut opened, mut answered, mut closed) = Default::default();
    let samples: [&mut Sample; 3] = [&mut opened, &mut answered, &mut closed];
    let [opened, answered, closed] = samples;
    for _ in 0..effort.calls.div_ceil(3) {
        let begin = Instant::now();
        let sandbox = yard.open().await;
        opened.since(begin);
        let bash = serve(sandbox.as_ref(), "bash").await;
        call(
            &bash,
            "bash",
            json!({"command": "true"}).as_object().unwrap().clone(),
        )
        .await;
        answered.since(begin);
        drop(bash);
        let begin = Instant::now();
        sandbox.close().await.unwrap();
        closed.since(begin);
    }
    opened.print("a local sandbox, opened");
    answered.print("a local sandbox, to the first tool's answer");
    closed.print("a local sandbox, closed");
}

async fn serve(sandbox: &dyn Sandbox, server: &str) -> ToolServer {
    let host = sandbox.tool_host().to_string_lossy().into_owned();
    let command = SandboxCommand::new([host.as_str(), "tool-host", "serve", server]);
    let process = sandbox.spawn(command).await.unwrap();
    let io = ToolIo::Bytes {
        read: process.stdout,
        write: process.stdin,
        guard: Box::new(process.kill),
    };
    connect_over(server, io).await
}

async fn commands(yard: &Yard, effort: Effort) {
    let sandbox = yard.open().await;
    let mut spawned = Sample::default();
    for _ in 0..effort.calls {
        let begin = Instant::now();
        let process = sandbox.spawn(SandboxCommand::new(["true"])).await.unwrap();
        process.exit.await.unwrap();
        spawned.since(begin);
    }
    spawned.print("`true` in an open sandbox, to its end");
    let bare: Sample = (0..effort.calls)
        .map(|_| timed(&mut Command::new("true")))
        .collect();
    bare.print("  `true` outside");
    if let Some(bwrap) = bubblewrap(yard.folder.path(), effort) {
        bwrap.print("  `true` in bubblewrap, made anew for it");
    }
    let inside = serve(sandbox.as_ref(), "bash").await;
    let outside = connect("bash", yard.folder.path()).await;
    let one = |_| json!({"command": "true"});
    let inside = calls(&inside, "bash", effort, one).await;
    let outside = calls(&outside, "bash", effort, one).await;
    inside.print("bash `true` in the sandbox");
    outside.print("  bash `true` outside");
    let ratio = inside.percentile(50) / outside.percentile(50);
    print_value("  ratio, p50", format!("{ratio:.2}"));
    let bare: Sample = (0..effort.calls).map(|_| bare_spawn()).collect();
    bare.print("  bash `echo hi`, bare");
    sandbox.close().await.unwrap();
}

fn bare_spawn() -> Duration {
    let begin = Instant::now();
    bare::spawn();
    begin.elapsed()
}

fn timed(command: &mut Command) -> Duration {
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
    begin.elapsed()
}

/// Nothing where there is no bubblewrap.
fn bubblewrap(workspace: &Path, effort: Effort) -> Option<Sample> {
    Command::new("bwrap").arg("--version").output().ok()?;
    let once = |_| {
        let mut command = Command::new("bwrap");
        command.args([
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/usr",
            "/usr",
        ]);
        command.args([
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
        ]);
        command.args([
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ]);
        command
            .args(["--tmpfs", "/tmp", "--bind"])
            .arg(workspace)
            .arg("/workspace");
        timed(command.args(["--chdir", "/workspace", "true"]))
    };
    Some((0..effort.calls).map(once).collect())
}

async fn memory(yard: &Yard, effort: Effort) {
    let mut open = Vec::new();
    let begin = Instant::now();
    for _ in 0..effort.sandboxes {
        let sandbox = yard.open().await;
        // A command in each, as a tool server would be.
        let process = sandbox.spawn(SandboxCommand::new(["cat"])).await.unwrap();
        open.push((sandbox, process));
    }
    let each = begin.elapsed() / u32::try_from(effort.sandboxes).unwrap();
    let ours = pss_of_descendants(&["init", "supervisor", "launcher", "pullwright"]);
    let name = format!("{} sandboxes at once: opening one", effort.sandboxes);
    print_value(&name, format!("{:.2}", each.as_secs_f64() * 1000.0));
    let each = match ours {
        Some(kib) => (kib / effort.sandboxes).to_string(),
        None => "readable by root only".to_owned(),
    };
    print_value("  memory of each beyond its commands, KiB (PSS)", each);
    for (sandbox, process) in open {
        drop(process);
        sandbox.close().await.unwrap();
    }
}

/// The proportional memory of this process's descendants of these names, in KiB. They keep theirs to
/// themselves, so nothing where one of them cannot be read.
fn pss_of_descendants(names: &[&str]) -> Option<usize> {
    let parents: Vec<(u32, u32)> = processes()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let own = std::process::id();
    let is_ours = |pid: u32| {
        let mut at = pid;
        while let Some((_, parent)) = parents.iter().find(|(child, _)| *child == at) {
            if *parent == own {
                return true;
            }
            at = *parent;
        }
        false
    };
    let named = |pid: &u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        names.contains(&comm.trim_end())
    };
    processes()
        .filter(named)
        .filter(|pid| is_ours(*pid))
        .map(pss)
        .sum()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn pss(pid: u32) -> Option<usize> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
