//! Whatever ends the server, the launcher or init ends everything inside.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use pullwright_core::sandbox::{ProcessExit, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, all_gone, descendants, first_line, own, run, sh};
use crate::support::in_time;

/// Tells this executable to be the server that is killed.
const BE_THE_SERVER: &str = "PULLWRIGHT_TEST_BE_THE_SERVER";

/// Two daemons and a shell that waits.
const BUSY: &str = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1000; done' & \
                    sleep 1000 & echo ready; wait";

#[tokio::test]
async fn closing_leaves_nothing() {
    let bench = Bench::new();
    let (sandbox, other) = (bench.open().await, bench.open().await);
    let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
    first_line(&mut process).await;
    let inside = tree(own(&bench, "sh"));
    assert!(inside.len() >= 5, "{inside:?}");
    in_time(sandbox.close()).await.unwrap();
    // Not soon, but when closing has returned.
    assert_eq!(still_there(&inside), Vec::<u32>::new());
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
    let error = sandbox.spawn(sh("true")).await.unwrap_err();
    assert_eq!(error.to_string(), "the local sandbox is gone: it is closed");
    in_time(sandbox.close()).await.unwrap();
    in_time(sandbox.gone()).await;
    assert_eq!(run(&other, "echo there").await.stdout, "there\n");
}

#[tokio::test]
async fn dropping_leaves_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
    first_line(&mut process).await;
    let inside = tree(own(&bench, "sh"));
    drop(sandbox);
    all_gone(&inside).await;
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
}

#[tokio::test]
async fn a_killed_launcher_or_init_takes_everything_along() {
    for (victim, signal) in [
        ("init", Signal::KILL),
        ("launcher", Signal::KILL),
        ("launcher", Signal::TERM),
    ] {
        let bench = Bench::new();
        let sandbox = bench.open().await;
        let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
        first_line(&mut process).await;
        let inside = tree(own(&bench, "sh"));
        let pid = match victim {
            "init" => inside[0],
            _ => parent(inside[0]),
        };
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
        assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
        in_time(sandbox.gone()).await;
        all_gone(&inside).await;
        let error = in_time(sandbox.spawn(sh("true"))).await.unwrap_err();
        assert!(matches!(error, SandboxError::Lost { .. }), "{error}");
        in_time(sandbox.close()).await.unwrap();
        // Whatever happened to the launcher, there is one again.
        assert_eq!(
            run(&bench.open().await, "echo there").await.stdout,
            "there\n"
        );
    }
}

#[tokio::test]
async fn a_sandbox_outlives_the_handle_of_its_launcher() {
    let Bench {
        folder: _folder,
        plan,
        launcher,
    } = Bench::new();
    let sandbox = in_time(launcher.open(&plan)).await.unwrap();
    drop(launcher);
    assert_eq!(run(&sandbox, "echo there").await.stdout, "there\n");
}

#[tokio::test]
async fn init_keeps_nothing_of_the_host_open() {
    let bench = Bench::new();
    let (sandbox, other) = (bench.open().await, bench.open().await);
    let mut process = sandbox.spawn(sh("echo ready; sleep 1000")).await.unwrap();
    first_line(&mut process).await;
    let init = tree(own(&bench, "sh"))[0];
    let Ok(open) = std::fs::read_dir(format!("/proc/{init}/fd")) else {
        eprintln!("SKIPPED: only root can look at a process that cannot be dumped");
        return;
    };
    let links = open
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut links: Vec<_> = links
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    links.sort();
    let kinds: Vec<_> = links
        .iter()
        .filter_map(|link| link.split(':').next())
        .collect();
    let standard = "/dev/null";
    let expected = [
        standard,
        standard,
        standard,
        "anon_inode",
        "anon_inode",
        "socket",
    ];
    assert_eq!(kinds, expected, "{links:?}");
    in_time(other.close()).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_takes_everything_along() {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sandbox::death::the_server",
            "--nocapture",
            "--include-ignored",
        ])
        .env(BE_THE_SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("started")));
    let tree: Vec<_> = descendants(server.id())
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    assert!(tree.len() >= 5, "{tree:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    all_gone(&tree).await;
}

#[tokio::test]
#[ignore = "it is the server that another test kills"]
async fn the_server() {
    if std::env::var_os(BE_THE_SERVER).is_none() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
    first_line(&mut process).await;
    println!("started");
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
}

/// Init, which is above `inside`, and all below it.
fn tree(inside: u32) -> Vec<u32> {
    let mut init = inside;
    while name(init) != "init" {
        init = parent(init);
    }
    let below = descendants(init).into_iter().map(|(pid, _)| pid);
    std::iter::once(init).chain(below).collect()
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = status.rsplit_once(')').unwrap().1;
    fields
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    name.trim_end().to_owned()
}

/// What runs of `pids`.
fn still_there(pids: &[u32]) -> Vec<u32> {
    let mut left = pids.to_vec();
    let running = descendants(std::process::id());
    left.retain(|pid| running.iter().any(|(found, _)| found == pid));
    left
}
