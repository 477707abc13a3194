//! Processes: their input and output, their end, and the end of what they start.

use std::path::PathBuf;

use pullwright_core::sandbox::{ProcessExit, SandboxCommand};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bench::{
    Bench, bounded, finish, gone, is_root, pids, processes_of, run, runs, sh, skipped_without_root,
};

#[tokio::test]
async fn bytes_go_in_and_out() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(SandboxCommand::new(["cat"])).await.unwrap();
    process.stdin.write_all(b"line\n\xff\0").await.unwrap();
    process.stdin.flush().await.unwrap();
    let mut back = [0; 7];
    bounded(process.stdout.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"line\n\xff\0");
    assert_eq!(finish(process).await.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn the_end_is_told_as_it_was() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let ran = run(&*sandbox, sh("echo out; echo err >&2; exit 7")).await;
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(ran.exit, ProcessExit::Code(7));

    let ran = run(&*sandbox, sh("kill -TERM $$")).await;
    assert_eq!(ran.exit, ProcessExit::Signal(15));
    assert_eq!(ran.exit.shell_code(), 143);
}

#[tokio::test]
async fn the_workspace_is_the_working_folder() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let ran = run(&*sandbox, sh("pwd; cat file; echo more > new; mkdir sub")).await;
    assert_eq!(
        ran.stdout,
        format!("{}\ncontent\n", sandbox.workspace().display())
    );
    assert_eq!(ran.stderr, "");

    let inner = SandboxCommand {
        cwd: Some(PathBuf::from("sub")),
        ..sh("pwd")
    };
    let ran = run(&*sandbox, inner).await;
    assert_eq!(
        ran.stdout,
        format!("{}/sub\n", sandbox.workspace().display())
    );
}

#[tokio::test]
async fn a_dropped_process_dies_with_all_it_started() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "echo $$; sleep 1000 & echo $!; \
                  setsid sh -c 'echo $$; exec sleep 1000' & wait";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let pids = pids(&mut process, 3).await;
    assert!(pids.iter().all(|pid| runs(*pid)));
    drop(process);
    gone(&pids).await;
}

#[tokio::test]
async fn an_ended_process_leaves_nothing_running() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000 & echo $!";
    let ran = run(&*sandbox, sh(script)).await;
    assert_eq!(ran.exit, ProcessExit::Code(0));
    let left: Vec<u32> = ran
        .stdout
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert!(!left.is_empty(), "{}", ran.stdout);
    gone(&left).await;
}

#[tokio::test]
async fn one_process_does_not_take_another_with_it() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut stays = sandbox.spawn(sh("echo $$; cat")).await.unwrap();
    let pid = pids(&mut stays, 1).await;
    drop(sandbox.spawn(sh("sleep 1000")).await.unwrap());
    run(&*sandbox, sh("true")).await;
    assert!(runs(pid[0]));
    assert_eq!(finish(stays).await.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn closing_leaves_no_process() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    // Without its variables, a process is found by its user alone, which takes root.
    let hide = if is_root() { "env -i" } else { "" };
    let script = format!(
        "echo $$; {hide} setsid sh -c 'echo $$; exec sleep 1000' & \
         {hide} setsid sh -c 'trap \"\" TERM HUP INT; echo $$; while :; do sleep 1000; done' & wait"
    );
    let mut process = sandbox.spawn(sh(&script)).await.unwrap();
    let pids = pids(&mut process, 3).await;
    bounded(sandbox.close()).await.unwrap();
    assert!(pids.iter().all(|pid| !runs(*pid)), "{pids:?}");
    bounded(process.exit).await.unwrap();
}

#[tokio::test]
async fn closing_ends_a_fork_storm() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let uid = run(&*sandbox, sh("id -u")).await.stdout;
    // Each process starts its successor and ends, faster than a list of processes can be read.
    let script = "echo $$; f() { f & exit; }; f & wait";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    pids(&mut process, 1).await;
    bounded(sandbox.close()).await.unwrap();
    assert_eq!(processes_of(uid.trim()), 0);
}

#[tokio::test]
async fn a_closed_sandbox_starts_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    sandbox.close().await.unwrap();
    let error = sandbox.spawn(sh("true")).await.unwrap_err();
    assert_eq!(error.to_string(), "the none sandbox is gone: it is closed");
    sandbox.close().await.unwrap();
}
