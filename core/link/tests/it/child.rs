//! Real processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use pullwright_link::{ChildCommand, LinePeer, RpcError, RpcPeer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::fixture::{bounded, params};

fn shell(script: &str) -> ChildCommand {
    ChildCommand {
        name: "child".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::from([(OsString::from("GIVEN"), OsString::from("yes"))]),
        cwd: Some("/".into()),
    }
}

#[tokio::test]
async fn the_environment_is_only_what_was_given() {
    let mut child = shell("/usr/bin/env; pwd").spawn().unwrap();
    let mut output = String::new();
    bounded(child.stdout.read_to_string(&mut output))
        .await
        .unwrap();
    let unexpected: Vec<&str> = output
        .lines()
        .filter(|line| !["GIVEN=yes", "/", "PWD=/", "SHLVL=0", "_=/usr/bin/env"].contains(line))
        .collect();
    assert!(output.contains("GIVEN=yes"), "{output}");
    assert_eq!(unexpected, Vec::<&str>::new());
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let command = ChildCommand {
        name: "docs".into(),
        program: "/no/such/program".into(),
        ..ChildCommand::default()
    };
    let error = command.spawn().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .starts_with("cannot start docs (`/no/such/program`): "),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_the_guard_ends_the_whole_group() {
    let child = shell("sleep 1000 & echo $!; wait").spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout);
    let mut pid = String::new();
    bounded(stdout.read_line(&mut pid)).await.unwrap();
    drop(child.guard);
    // The grandchild holds the pipe, so its end is the grandchild's end.
    let mut rest = Vec::new();
    bounded(stdout.read_to_end(&mut rest)).await.unwrap();
    assert!(pid.trim().parse::<u32>().is_ok());
}

#[tokio::test]
async fn shutdown_lets_a_polite_child_end_by_itself() {
    let child = shell("cat >/dev/null; exit 7").spawn().unwrap();
    drop(child.stdin);
    let status = bounded(child.guard.shutdown(Duration::from_secs(50)))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(7));
}

#[tokio::test]
async fn shutdown_ends_a_child_that_stays() {
    let child = shell("trap '' TERM HUP; while :; do sleep 1000; done")
        .spawn()
        .unwrap();
    let status = bounded(child.guard.shutdown(Duration::from_millis(10)))
        .await
        .unwrap();
    assert_eq!(status.code(), None);
}

#[tokio::test]
async fn the_end_of_standard_error_is_kept() {
    let mut child = shell("seq 1 100000 >&2; echo oops >&2; echo done")
        .spawn()
        .unwrap();
    let mut output = String::new();
    bounded(child.stdout.read_to_string(&mut output))
        .await
        .unwrap();
    bounded(async {
        while !child.guard.stderr_tail().ends_with("oops") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(child.guard.stderr_tail().lines().count(), 20);
}

#[tokio::test]
async fn a_killed_child_fails_the_calls_that_wait() {
    let child = shell("read line; echo got >&2; kill -9 $$")
        .spawn()
        .unwrap();
    let peer = LinePeer::new("child", child.stdin, child.stdout);
    let error = bounded(peer.call("echo", &params([1]))).await.unwrap_err();
    assert!(matches!(error, RpcError::Closed { .. }), "{error}");
}
