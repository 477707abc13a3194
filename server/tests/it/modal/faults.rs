//! Our client, where something goes wrong.

use std::time::Duration;

use pullwright_core::sandbox::{Sandbox, SandboxError};
use pullwright_modal_double::Fault;
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use super::{Bench, run, sh};
use crate::support::in_time;

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_for_a_moment_are_made_again_and_done_once() {
    let bench = Bench::new().await;
    let passing = [Code::Unavailable, Code::Internal, Code::Unknown].map(Fault::Status);
    for call in [
        "AppGetOrCreate",
        "ImageGetOrCreate",
        "MountPutFile",
        "TaskExecStart",
    ] {
        bench.double.break_next(call, passing.clone());
    }
    // The work is done, but nobody hears of it; the token is taken back meanwhile.
    let lost = [Fault::Lost(Code::Unavailable), Fault::Lost(Code::Cancelled)];
    let refused = Fault::Lost(Code::Unauthenticated);
    bench.double.break_next("SandboxCreateV2", [refused]);
    for call in ["SandboxCreateV2", "TaskExecStart", "TaskExecStdinWrite"] {
        bench.double.break_next(call, lost.clone());
    }
    let sandbox = bench.open().await;
    assert_eq!(bench.double.sandboxes(), 1);
    assert_eq!(bench.count("SandboxCreateV2"), 4);
    assert_eq!(run(&*sandbox, "cat file").await.0, "content\n");
    in_time(sandbox.close()).await.unwrap();
    let calls = bench.double.calls();
    let creations = calls.iter().filter(|call| call.name == "SandboxCreateV2");
    let keys: Vec<&String> = creations
        .map(|call| &call.headers["x-idempotency-key"])
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_waited_for_as_it_asks() {
    let bench = Bench::new().await;
    bench
        .double
        .break_next("SandboxCreateV2", vec![Fault::Busy(Some(0.05)); 12]);
    bench.open().await.close().await.unwrap();
    assert_eq!(bench.count("SandboxCreateV2"), 13);

    bench
        .double
        .break_next("SandboxCreateV2", [Fault::Busy(None)]);
    let refused = bench.try_open().await.0.err().unwrap();
    assert!(
        refused.to_string().contains("too much at once"),
        "{refused}"
    );
    assert_eq!(bench.count("SandboxCreateV2"), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_again_and_again_loses_no_byte() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh("cat")).await.unwrap();
    for round in 0..20 {
        bench
            .double
            .break_next("TaskExecStdinWrite", [Fault::Lost(Code::Unavailable)]);
        let line = format!("line {round}\n");
        process.stdin.write_all(line.as_bytes()).await.unwrap();
        process.stdin.flush().await.unwrap();
        // The stream alone, or the connection with all that is under way on it.
        match round % 2 {
            0 => bench.double.cut_streams(),
            _ => bench.double.drop_connections(),
        }
        let mut came = vec![0; line.len()];
        in_time(process.stdout.read_exact(&mut came)).await.unwrap();
        assert_eq!(came, line.as_bytes());
    }
    assert!(bench.count("TaskExecStdioRead") > 10);
    in_time(sandbox.close()).await.unwrap();
}

/// Input and output are under way on each connection that breaks.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_arrived_in_part_are_neither_lost_nor_doubled() {
    const BYTES: usize = 8 * 1024 * 1024;
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let process = sandbox.spawn(sh("cat")).await.unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at * at / 7) as u8).collect();
    let (mut stdin, mut stdout) = (process.stdin, process.stdout);
    let writing = sent.clone();
    let writer = tokio::spawn(async move {
        stdin.write_all(&writing).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let mut came = vec![0; BYTES];
    for piece in came.chunks_mut(BYTES / 16) {
        in_time(stdout.read_exact(piece)).await.unwrap();
        bench.double.drop_connections();
    }
    in_time(writer).await.unwrap();
    assert!(came == sent);
    in_time(sandbox.close()).await.unwrap();
}

/// A token that says it has long to live is not asked for again, as Modal's own clients do it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_breaks_the_stream_and_the_sandbox_is_ended() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    bench.double.expire_tokens();
    let lost = in_time(sandbox.spawn(sh("cat file"))).await.err().unwrap();
    let reason = reason(&*sandbox);
    assert!(
        reason.starts_with("its stream ended; Modal's TaskExec") && reason.contains("too old"),
        "{reason}"
    );
    assert_eq!(
        lost.to_string(),
        format!("the modal sandbox is gone: {reason}")
    );
    assert_eq!(bench.count("SandboxGetCommandRouterAccess"), 0);
    assert_eq!(bench.double.sandboxes(), 1, "nobody has ended it yet");
    in_time(sandbox.close()).await.ok();
    assert_eq!(bench.double.sandboxes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sandbox_ends_what_is_under_way_with_its_reason() {
    for (how, expected) in [
        (
            GenericStatus::InternalFailure,
            "Modal says that it ended with",
        ),
        (GenericStatus::MemoryManagerEviction, "raise `memory_mb`"),
        (GenericStatus::Timeout, "raise `timeout_min`"),
        (GenericStatus::IdleTimeout, "it was idle for too long"),
    ] {
        let bench = Bench::new().await;
        let sandbox = bench.open().await;
        let mut process = sandbox.spawn(sh("sleep 1000")).await.unwrap();
        bench.double.lose_sandboxes(how).await;
        let mut said = Vec::new();
        let broke = in_time(process.stdout.read_to_end(&mut said)).await;
        let broke = broke.expect_err("it ended as if it were whole");
        assert_eq!(broke.kind(), std::io::ErrorKind::ConnectionAborted);
        let reason = reason(&*sandbox);
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(broke.to_string(), reason);
        let lost = sandbox.spawn(sh("true")).await.err().unwrap();
        assert_eq!(
            lost.to_string(),
            format!("the modal sandbox is gone: {reason}")
        );
    }
}

/// Why a sandbox is gone.
fn reason(sandbox: &dyn Sandbox) -> String {
    match sandbox.lost() {
        Some(SandboxError::Lost { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_shows_its_log() {
    let bench = Bench::with(&["RUN echo fetching", "RUN echo no such package; false"]).await;
    let (refused, told) = bench.try_open().await;
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("no such package") && refused.contains("dockerfile"),
        "{refused}"
    );
    assert!(told.contains(&"fetching".to_owned()), "{told:?}");
    assert_eq!(bench.double.sandboxes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_is_waited_for_and_a_token_that_is_wrong_is_told() {
    let bench = Bench::new().await;
    bench
        .double
        .break_next("TaskExecStart", [Fault::Late(Duration::from_millis(300))]);
    bench.open().await.close().await.unwrap();

    bench
        .double
        .break_next("AuthTokenGet", [Fault::Status(Code::Unauthenticated)]);
    let host = super::host(&bench.double, bench.folder.path(), &[]);
    let other = Bench { host, ..bench };
    let refused = other.try_open().await.0.err().unwrap().to_string();
    assert!(refused.contains("MODAL_TOKEN_ID"), "{refused}");
}
