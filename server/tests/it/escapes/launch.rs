//! Runs a case's script: in our sandbox, in bubblewrap, or in nothing at all.

mod capture;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::case::{Case, Interrupt};
use super::stage::Stage;
use super::tools;
use crate::sandbox::bench::launcher;
use capture::{Capture, Captured};

/// Where a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Sandbox,
    Bubblewrap,
    Outside,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ran {
    /// The number of the command line, or of what it became.
    pub(super) pid: u32,
    /// The exit code, or 128 and the signal.
    pub(super) code: i32,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) in_time: bool,
    /// What the command line had in memory at its largest, where that was looked at.
    pub(super) peak_kb: Option<u64>,
}

/// How long a process that was told to end may take.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn run(case: &Case, stage: &Stage, place: Place) -> Ran {
    let mut child = command(case, stage, place).spawn().unwrap();
    feed(&mut child, case);
    let (pid, number) = (Pid::from_child(&child), child.id());
    let (said, news) = mpsc::channel();
    let stdout = Capture::start(child.stdout.take().unwrap(), case.slow_reader, Some(said));
    let stderr = Capture::start(child.stderr.take().unwrap(), false, None);
    let begun = Instant::now();
    let limit = Duration::from_secs(case.seconds());
    let left = || limit.saturating_sub(begun.elapsed());
    if let Some(interrupt) = case.interrupt
        && news.recv_timeout(left()).is_ok()
    {
        interrupt_by(interrupt, pid, &stdout);
    }
    let peak_kb = case
        .slow_reader
        .then(|| news.recv_timeout(left()).ok().and_then(|()| peak(pid)))
        .flatten();
    let (ended, end) = mpsc::channel();
    let waiting = std::thread::spawn(move || ended.send(child.wait()));
    let in_time = end.recv_timeout(left());
    let status = in_time
        .as_ref()
        .ok()
        .and_then(|status| status.as_ref().ok().copied());
    let status = status.or_else(|| {
        let _ = kill_process(pid, Signal::KILL);
        end.recv_timeout(GRACE).ok()?.ok()
    });
    // Whoever still holds the ends of its output has outlived it.
    let (out, err) = (stdout.finish(GRACE), stderr.finish(GRACE));
    drop(waiting);
    let held = out.is_none() || err.is_none();
    Ran {
        pid: number,
        code: status.map_or(-1, shell_code),
        stdout: out.unwrap_or_default(),
        stderr: err.unwrap_or_default(),
        in_time: in_time.is_ok() && !held,
        peak_kb,
    }
}

fn command(case: &Case, stage: &Stage, place: Place) -> Command {
    let script = stage.fill(&case.run);
    let words = match place {
        Place::Sandbox => sandboxed(case, stage),
        Place::Bubblewrap => bubblewrapped(stage),
        Place::Outside => Vec::new(),
    };
    // Every sandbox is offered a descriptor that it should not pass on.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 9<\"$0\"; exec \"$@\""])
        .arg(stage.baits.open_file())
        .args(words)
        .args(["bash", "-c", &script])
        .env_clear()
        .env("PATH", tools::path())
        .env("TMPDIR", &stage.temporary)
        .envs(stage.baits.environment())
        .current_dir(&stage.workspace)
        .stdin(if case.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in ["HOME", "RUSTUP_HOME"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

fn sandboxed(case: &Case, stage: &Stage) -> Vec<String> {
    let mut words = vec![
        launcher().display().to_string(),
        "sandbox".into(),
        "run".into(),
    ];
    words.extend(["--workspace".into(), stage.workspace.display().to_string()]);
    words.extend(
        case.allow
            .iter()
            .flat_map(|host| ["--allow".into(), stage.fill(host)]),
    );
    if case.config.is_some() || case.network.is_some() {
        words.extend(["--config".into(), config(case, stage).display().to_string()]);
    }
    words.push("--".into());
    words
}

fn config(case: &Case, stage: &Stage) -> PathBuf {
    let lines = |lines: &Option<String>| {
        lines
            .as_ref()
            .map_or_else(String::new, |lines| stage.fill(lines))
    };
    let text = format!(
        "[agent]\nprovider = \"none\"\n[providers.none]\nwire_api = \"scripted\"\nscript = \"none\"\n\
         [sandbox]\n{}\n[sandbox.network]\n{}\n",
        lines(&case.config),
        lines(&case.network),
    );
    let path = stage.path().join("plugins.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// As its manual recommends for untrusted programs.
fn bubblewrapped(stage: &Stage) -> Vec<String> {
    let mut words = [
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        "/usr",
        "/usr",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    for name in ["bin", "sbin", "lib", "lib64"] {
        let path = format!("/{name}");
        match Path::new(&path).is_symlink() {
            true => words.extend(["--symlink".into(), format!("usr/{name}"), path]),
            false => words.extend(["--ro-bind-try".into(), path.clone(), path]),
        }
    }
    let rest = [
        "--ro-bind-try",
        "/etc/alternatives",
        "/etc/alternatives",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "--bind",
    ];
    words.extend(rest.map(ToOwned::to_owned));
    words.push(stage.workspace.display().to_string());
    words.extend(["/workspace", "--chdir", "/workspace", "--"].map(ToOwned::to_owned));
    words
}

fn feed(child: &mut Child, case: &Case) {
    let (Some(mut stdin), Some(input)) = (child.stdin.take(), case.input.clone()) else {
        return;
    };
    // A script need not read what it is given.
    std::thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
}

fn interrupt_by(interrupt: Interrupt, pid: Pid, stdout: &Capture) {
    let signal = match interrupt {
        Interrupt::Kill => Signal::KILL,
        Interrupt::Term => Signal::TERM,
        Interrupt::Int => Signal::INT,
        Interrupt::Hup => Signal::HUP,
        Interrupt::CloseOutput => return stdout.close(),
    };
    kill_process(pid, signal).unwrap();
}

fn shell_code(status: ExitStatus) -> i32 {
    let signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(signal)
}

/// The most that a process has had in memory.
fn peak(pid: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
