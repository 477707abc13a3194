//! Whatever ends the server, the launcher or init ends everything inside.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use pullwright_core::sandbox::{ProcessExit, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, all_gone, descendants, first_line, own, sh};
use crate::support::in_time;

/// Tells this executable to be the server that is killed.
const BE_THE_SERVER: &str = "PULLWRIGHT_TEST_BE_THE_SERVER";

/// Two daemons and a shell that waits.
const BUSY: &str = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1000; done' & \
                    sleep 1000 & echo ready; wait";

#[tokio::test]
async fn closing_leaves_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
    first_line(&mut process).await;
    let launcher = own_tree(&bench);
    assert!(launcher.len() >= 5, "{launcher:?}");
    in_time(sandbox.close()).await.unwrap();
    // Not soon, but when closing has returned.
    let left = descendants(std::process::id());
    assert!(
        left.iter().all(|(pid, _)| !launcher.contains(pid)),
        "{left:?}"
    );
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
    let error = sandbox.spawn(sh("true")).await.unwrap_err();
    assert_eq!(error.to_string(), "the local sandbox is gone: it is closed");
    in_time(sandbox.close()).await.unwrap();
    in_time(sandbox.gone()).await;
}

#[tokio::test]
async fn dropping_leaves_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
    first_line(&mut process).await;
    let tree = own_tree(&bench);
    drop(sandbox);
    all_gone(&tree).await;
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
}

#[tokio::test]
async fn a_killed_launcher_or_init_takes_everything_along() {
    for (victim, signal) in [
        ("init", Signal::KILL),
        ("pullwright", Signal::KILL),
        ("pullwright", Signal::TERM),
    ] {
        let bench = Bench::new();
        let sandbox = bench.open().await;
        let mut process = sandbox.spawn(sh(BUSY)).await.unwrap();
        first_line(&mut process).await;
        let tree = own_tree(&bench);
        let pid = match victim {
            "init" => own(&bench, "init"),
            _ => tree[0],
        };
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
        assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
        in_time(sandbox.gone()).await;
        all_gone(&tree).await;
        let error = in_time(sandbox.spawn(sh("true"))).await.unwrap_err();
        assert!(matches!(error, SandboxError::Lost { .. }), "{error}");
        in_time(sandbox.close()).await.unwrap();
    }
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

/// The launcher of this sandbox, and all below it.
fn own_tree(bench: &Bench) -> Vec<u32> {
    let init = own(bench, "init");
    let status = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
    let fields = status.rsplit_once(')').unwrap().1;
    let launcher = fields
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let below = descendants(launcher).into_iter().map(|(pid, _)| pid);
    std::iter::once(launcher).chain(below).collect()
}
