//! Sandboxes that start with what an earlier setup has made.

use std::process::Output;
use std::time::Duration;

use pullwright_modal_double::{Double, Fault};
use serde_json::Value;
use tonic::Code;

use super::runs::{SANDBOX, code, code_command, frames};
use super::{Bench, double, run, tool_host};
use crate::runs::command_line::Desk;
use crate::runs::lab::GREET;
use crate::runs::project::git;
use crate::support::in_time;

const LONG_LIVED: Duration = Duration::from_secs(1200);

/// What setup does, and what a run leaves that is not its to keep.
const SETUP: &str = "mkdir -p ignored; echo made | tee ignored/made \"$HOME/made\" >stray; rm file; ln -s nowhere file";

#[tokio::test(flavor = "multi_thread")]
async fn what_setup_made_is_there_again_and_nothing_else() {
    let bench = Bench::new().await;
    let (cold, _) = bench.try_open_named(Some("setup")).await;
    let cold = cold.unwrap();
    assert!(!cold.is_warm());
    run(&*cold, SETUP).await;
    in_time(cold.keep_warm()).await.unwrap();
    // What comes later is not kept.
    run(&*cold, "echo later >ignored/later").await;
    in_time(cold.close()).await.unwrap();

    let (warm, _) = bench.try_open_named(Some("setup")).await;
    let warm = warm.unwrap();
    assert!(warm.is_warm());
    let script = "cat ignored/made \"$HOME/made\" file; ls -A; git status --porcelain --ignored";
    let (said, _) = run(&*warm, script).await;
    let expected = "made\nmade\ncontent\n.git\n.gitignore\nfile\nignored\n!! ignored/\n";
    assert_eq!(said, expected);
    in_time(warm.close()).await.unwrap();
    for other in [Some("another"), None] {
        let other = bench.try_open_named(other).await.0.unwrap();
        assert!(!other.is_warm());
        in_time(other.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_gone_is_no_reason_to_have_no_sandbox() {
    let bench = Bench::new().await;
    let cold = bench.try_open_named(Some("setup")).await.0.unwrap();
    in_time(cold.keep_warm()).await.unwrap();
    in_time(cold.close()).await.unwrap();
    let folder = bench.folder.path().join("modal-warm");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["image_id"] = "im-gone".into();
    std::fs::write(&file, kept.to_string()).unwrap();
    let again = bench.try_open_named(Some("setup")).await.0.unwrap();
    assert!(!again.is_warm() && !file.exists());
    // The next one is warm again.
    in_time(again.keep_warm()).await.unwrap();
    assert!(file.exists());
    in_time(again.close()).await.unwrap();

    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["until"] = 1.into();
    std::fs::write(&file, kept.to_string()).unwrap();
    let late = bench.try_open_named(Some("setup")).await.0.unwrap();
    assert!(!late.is_warm());
    in_time(late.close()).await.unwrap();
}

/// What is ignored is what this base's files say, and not those of the run before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_ignored_is_not_kept() {
    let bench = Bench::new().await;
    let cold = bench.try_open_named(Some("setup")).await.0.unwrap();
    let script =
        "printf 'ignored\nother\n' >.gitignore; mkdir ignored other; touch ignored/x other/x";
    run(&*cold, script).await;
    in_time(cold.keep_warm()).await.unwrap();
    in_time(cold.close()).await.unwrap();
    let warm = bench.try_open_named(Some("setup")).await.0.unwrap();
    assert!(warm.is_warm());
    let (said, _) = run(&*warm, "cat .gitignore; ls -A").await;
    assert_eq!(said, "ignored\n.git\n.gitignore\nfile\nignored\n");
    in_time(warm.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_no_reason_to_forget_an_image() {
    let bench = Bench::new().await;
    let cold = bench.try_open_named(Some("setup")).await.0.unwrap();
    in_time(cold.keep_warm()).await.unwrap();
    in_time(cold.close()).await.unwrap();
    bench
        .double
        .break_next("SandboxCreateV2", [Fault::Busy(None)]);
    let refused = bench.try_open_named(Some("setup")).await.0;
    assert!(refused.is_err());
    let warm = bench.try_open_named(Some("setup")).await.0.unwrap();
    assert!(warm.is_warm());
    in_time(warm.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_starts_warm() {
    let double = double(LONG_LIVED).await;
    let desk = desk();
    // The check of what is pushed happens in a fresh sandbox, which is the second one already.
    assert_eq!(warm_starts(&code(&desk, &double).await), 1);
    assert_eq!(warm_starts(&code(&desk, &double).await), 2);
    assert_eq!(snapshots(&double), 1);
    // Another branch's lock files and setup may be anything.
    git(&desk.remote, &["branch", "other", "main"]);
    let mut other = code_command(&desk, &double);
    other.args(["--base", "other"]);
    assert_eq!(warm_starts(&other.output().await.unwrap()), 1);
    assert_eq!(snapshots(&double), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fails_is_told_and_not_tried_where_the_model_was() {
    let double = double(LONG_LIVED).await;
    let refused = Fault::Status(Code::NotFound);
    double.break_next("TaskSnapshotFilesystem", [refused]);
    let desk = desk();
    let first = code(&desk, &double).await;
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(said.contains("cannot be kept for later runs"), "{said}");
    assert_eq!((warm_starts(&first), snapshots(&double)), (0, 1));
    assert_eq!(warm_starts(&code(&desk, &double).await), 1);
    assert_eq!(snapshots(&double), 2);
}

/// A project whose setup leaves a trace and whose check sees how often it ran on this machine.
fn desk() -> Desk {
    let setup = "[setup]\nrun = [\"cat $HOME/runs 2>/dev/null; echo run >> $HOME/runs\"]\n";
    let checks = "run = [\"test $(grep -c run $HOME/runs) -le 2\"]";
    let sandbox = SANDBOX.replace("run = [\"grep -q h src/greeting.txt\"]", checks);
    let desk = Desk::new(GREET, &format!("{sandbox}{setup}"));
    tool_host(&desk.path);
    desk
}

/// In how many of its sandboxes a run started warm.
fn warm_starts(output: &Output) -> usize {
    let frames = frames(output);
    let done = frames.last().unwrap();
    assert_eq!(done["outcome"], "branch only", "{frames:#?}");
    let said = "it starts with what an earlier setup has made";
    let told = frames.iter().filter(|frame| frame["message"] == said);
    told.count()
}

fn snapshots(double: &Double) -> usize {
    let calls = double.calls();
    let snapshots = calls
        .iter()
        .filter(|call| call.name == "TaskSnapshotFilesystem");
    snapshots.count()
}
