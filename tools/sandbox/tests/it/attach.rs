//! A sandbox is found again by its handle.

use std::fs;

use pullwright_core::sandbox::{SandboxError, SandboxHandle, SandboxHost as _, SandboxNotice};
use serde_json::json;
use tokio::sync::mpsc;

use crate::bench::{Bench, gone, pids, run, sh, skipped_without_root};

#[tokio::test]
async fn it_opens_again_with_its_files_and_without_its_processes() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    run(&*sandbox, sh("echo work > new")).await;
    let mut left = sandbox.spawn(sh("echo $$; sleep 1000")).await.unwrap();
    let pids = pids(&mut left, 1).await;
    let handle = serde_json::to_string(&sandbox.handle()).unwrap();
    let workspace = sandbox.workspace().to_owned();
    drop(sandbox);

    let handle: SandboxHandle = serde_json::from_str(&handle).unwrap();
    let again = bench.host.attach(&handle, unheard()).await.unwrap();
    gone(&pids).await;
    assert_eq!(again.workspace(), workspace);
    assert_eq!(again.handle(), handle);
    let ran = run(
        &*again,
        sh("cat file new; echo x > $HOME/x && echo y > file"),
    )
    .await;
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("content\nwork\n", "")
    );
}

#[tokio::test]
async fn a_closed_one_stays_closed() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let handle = sandbox.handle();
    sandbox.close().await.unwrap();
    drop(sandbox);
    // Where another test has the user by now, that is the reason given.
    let told = refused(&bench, handle).await;
    assert!(
        told.contains("it was closed") || told.contains("another run now"),
        "{told}"
    );
}

#[tokio::test]
async fn one_that_is_open_is_not_taken_away() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let told = refused(&bench, sandbox.handle()).await;
    assert!(told.contains("belongs to another run now"), "{told}");
    assert_eq!(run(&*sandbox, sh("cat file")).await.stdout, "content\n");
}

#[tokio::test]
async fn what_is_gone_is_said() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let handle = sandbox.handle();
    sandbox.close().await.unwrap();
    fs::remove_dir_all(sandbox.workspace()).unwrap();
    let told = refused(&bench, handle).await;
    assert!(told.ends_with("is no longer there"), "{told}");
}

#[tokio::test]
async fn a_strange_handle_is_refused() {
    let bench = Bench::new();
    let workspace = bench.data.path();
    let other = SandboxHandle {
        kind: "modal".to_owned(),
        data: json!({}),
    };
    assert!(refused(&bench, other).await.contains("`modal`"));
    let broken = SandboxHandle {
        kind: "none".to_owned(),
        data: json!({"run": 1}),
    };
    assert!(refused(&bench, broken).await.contains("cannot be read"));
    let data = json!({"run": "r", "workspace": workspace, "uid": 0});
    let root = SandboxHandle {
        kind: "none".to_owned(),
        data,
    };
    assert!(
        refused(&bench, root)
            .await
            .contains("user 0 is not one of runs")
    );
}

fn unheard() -> mpsc::Sender<SandboxNotice> {
    mpsc::channel(1).0
}

async fn refused(bench: &Bench, handle: SandboxHandle) -> String {
    match bench.host.attach(&handle, unheard()).await {
        Ok(_) => panic!("{handle:?} was opened"),
        Err(error @ SandboxError::Lost { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}
