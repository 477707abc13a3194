//! Our client, where nothing goes wrong.

use std::time::Duration;

use pullwright_core::config::ModalConfig;
use pullwright_core::sandbox::{ProcessExit, SandboxError};
use pullwright_sandbox::modal::wire::client::network_access::NetworkAccessType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Bench, double, finish, run, sh, until};
use crate::support::in_time;

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_made_used_and_ended() {
    let bench = Bench::new().await;
    let (opened, told) = bench.try_open().await;
    let sandbox = opened.unwrap();
    assert!(
        told.contains(&"building".to_owned()) && told.contains(&"done".to_owned()),
        "{told:?}"
    );
    let (said, exit) = run(&*sandbox, "cat file; pwd; exit 3").await;
    assert_eq!(said, "content\n/workspace\n");
    assert_eq!(exit, ProcessExit::Code(3));
    assert_eq!(bench.double.sandboxes(), 1);
    in_time(sandbox.close()).await.unwrap();
    assert_eq!(bench.double.sandboxes(), 0);
    let refused = sandbox.spawn(sh("true")).await.err().unwrap();
    assert!(matches!(refused, SandboxError::Lost { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_not_made_again() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.open().await.close().await.unwrap();
    }
    let again = super::host(
        &bench.double,
        bench.folder.path(),
        &["RUN echo building; echo done"],
    );
    let other = Bench {
        host: again,
        ..bench
    };
    other.open().await.close().await.unwrap();
    for (call, times) in [
        ("AppGetOrCreate", 2),
        ("BlobCreate", 1),
        ("MountPutFile", 1),
        ("ImageJoinStreaming", 1),
        ("ImageGetOrCreate", 6),
        ("SandboxCreateV2", 3),
    ] {
        assert_eq!(other.count(call), times, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_goes_both_ways() {
    const BYTES: usize = 3 * 1024 * 1024;
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(sh("cat")).await.unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at * at / 7) as u8).collect();
    let writing = sent.clone();
    let mut stdin = process.stdin;
    let writer = tokio::spawn(async move {
        stdin.write_all(&writing).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let mut came = Vec::new();
    in_time(process.stdout.read_to_end(&mut came))
        .await
        .unwrap();
    writer.await.unwrap();
    assert!(came == sent, "{} bytes of {BYTES}", came.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_takes_what_it_started_with_it() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let mut process = sandbox
        .spawn(sh("setsid sleep 1000 & echo $!; wait"))
        .await
        .unwrap();
    let mut pid = Vec::new();
    while pid.last() != Some(&b'\n') {
        pid.push(in_time(process.stdout.read_u8()).await.unwrap());
    }
    let pid = String::from_utf8(pid).unwrap();
    drop(process.kill);
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
    let script = format!(
        "kill -0 {} 2>/dev/null && echo alive || echo dead",
        pid.trim()
    );
    assert_eq!(run(&*sandbox, &script).await.0, "dead\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reached_but_what_is_allowed_at_the_time() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let hosts = ["example.com".to_owned()];
    in_time(sandbox.allow(&hosts)).await.unwrap();
    in_time(sandbox.allow(&[])).await.unwrap();
    let blocked = || (NetworkAccessType::Blocked, Vec::new());
    let listed = (NetworkAccessType::Allowlist, hosts.to_vec());
    assert_eq!(reached(&bench), [blocked(), listed, blocked()]);
    in_time(sandbox.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_reached_all_the_time_where_that_is_written() {
    let bench = Bench::new().await;
    let open = ModalConfig {
        open_network: true,
        ..super::config(bench.folder.path(), &[])
    };
    let host = super::host_of(&bench.double, bench.folder.path(), open);
    let bench = Bench { host, ..bench };
    let sandbox = bench.open().await;
    in_time(sandbox.allow(&["example.com".to_owned()]))
        .await
        .unwrap();
    in_time(sandbox.allow(&[])).await.unwrap();
    let open = (NetworkAccessType::Open, Vec::new());
    assert_eq!(reached(&bench), vec![open; 3]);
    in_time(sandbox.close()).await.unwrap();
}

/// What the only sandbox was allowed to reach, in order.
fn reached(bench: &Bench) -> Vec<(NetworkAccessType, Vec<String>)> {
    let networks = bench.double.networks();
    let [network] = networks.as_slice() else {
        panic!("{networks:?}");
    };
    let all = network.iter();
    all.map(|access| {
        assert!(access.allowed_cidrs.is_empty(), "{access:?}");
        (access.network_access_type(), access.allowed_domains.clone())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_say_who_we_are_and_never_show_a_secret() {
    let bench = Bench::new().await;
    bench.open().await.close().await.unwrap();
    for call in bench.double.calls() {
        let headers = &call.headers;
        if call.name.starts_with("Task") {
            assert!(headers["authorization"].starts_with("Bearer "), "{call:?}");
            assert!(!headers.contains_key("x-modal-token-secret"), "{call:?}");
            continue;
        }
        for needed in [
            "x-modal-client-version",
            "x-modal-client-type",
            "x-modal-token-id",
            "x-modal-host",
            "x-idempotency-key",
            "x-retry-attempt",
            "x-throttle-retry-attempt",
            "x-modal-timestamp",
        ] {
            assert!(headers.contains_key(needed), "{needed}: {call:?}");
        }
    }
    let shown = format!("{:?}", super::account(&bench.double));
    assert!(!shown.contains(super::TOKEN_SECRET), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_live_for_seconds_are_renewed_in_time() {
    let double = double(Duration::from_secs(2)).await;
    let folder = tempfile::tempdir().unwrap();
    let host = super::host(&double, folder.path(), &[]);
    let bench = Bench {
        double,
        host,
        folder,
    };
    let sandbox = bench.open().await;
    let slow = sandbox
        .spawn(sh("for i in 1 2 3 4 5; do sleep 1; echo $i; done"))
        .await
        .unwrap();
    assert_eq!(finish(slow).await.0, "1\n2\n3\n4\n5\n");
    in_time(sandbox.close()).await.unwrap();
    assert!(bench.count("AuthTokenGet") > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_waits_for_a_machine_is_opened_once_it_has_one() {
    let bench = Bench::new().await;
    bench.double.hold_starts();
    let waiting = async {
        until(|| bench.count("SandboxGetTaskIdV2") == 1).await;
        assert_eq!(bench.count("SandboxGetCommandRouterAccess"), 0);
        bench.double.let_start();
    };
    let (sandbox, ()) = tokio::join!(bench.open(), waiting);
    assert_eq!(run(&*sandbox, "cat file").await.0, "content\n");
    assert_eq!(bench.count("SandboxGetCommandRouterAccess"), 1);
    in_time(sandbox.close()).await.unwrap();
}
