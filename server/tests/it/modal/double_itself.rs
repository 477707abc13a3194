//! The double keeps to what Modal does where a client of ours would not notice that it does not.

use std::time::Duration;

use pullwright_modal_double::Double;
use tonic::Code;

use super::raw::{Raw, RawRouter};
use super::{double, until, until_told};
use crate::support::in_time;

const LONG_LIVED: Duration = Duration::from_secs(1200);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_where_its_client_goes_away() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    tokio::select! {
        _ = raw.create("key", raw.definition()) => panic!("it waited"),
        () = until(|| count(&double, "SandboxCreateV2") == 1) => {}
    }
    until(|| double.sandboxes() == 1).await;
    let made = in_time(raw.create("key", raw.definition())).await.unwrap();
    assert_eq!(double.sandboxes(), 1);

    let router = RawRouter::of(&made).await;
    tokio::select! {
        _ = router.start("exec", "sleep 1000") => panic!("it waited"),
        () = until(|| count(&double, "TaskExecStart") == 1) => {}
    }
    until_told(async || router.is_there("exec").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_does_the_work_once_and_others_at_the_same_time() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let create = |key: &'static str| raw.create(key, raw.definition());
    let made = async { tokio::join!(create("one"), create("one"), create("two"), create("three")) };
    let (one, again, two, three) = in_time(made).await;
    let [one, again, two, three] = [one, again, two, three].map(Result::unwrap);
    assert_eq!(one.sandbox_id, again.sandbox_id);
    assert!(two.sandbox_id != one.sandbox_id && two.sandbox_id != three.sandbox_id);
    assert_eq!(double.sandboxes(), 3);

    let router = RawRouter::of(&one).await;
    let start = || router.start("exec", "echo started >> times");
    let (first, second) = in_time(async { tokio::join!(start(), start()) }).await;
    first.and(second).unwrap();
    in_time(router.pieces("exec")).await;
    router.start("look", "cat times").await.unwrap();
    let times = in_time(router.pieces("look")).await.concat();
    assert_eq!(times, b"started\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_broke_off_half_way_is_taken_up_at_that_byte() {
    const BYTES: usize = 1024 * 1024;
    let double = double(LONG_LIVED).await;
    let router = Raw::new(&double).await.sandbox().await;
    let reads_later = "until [ -e go ]; do sleep 0.02; done; cat";
    router.start("exec", reads_later).await.unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at * at / 7) as u8).collect();
    let is_begun = async || router.input("exec").await.num_bytes_written > 0;
    tokio::select! {
        _ = router.write("exec", 0, sent.clone(), false) => panic!("it was taken whole"),
        () = until_told(is_begun) => {}
    }
    let again = tokio::spawn({
        let (router, sent) = (router.clone(), sent.clone());
        async move { router.write("exec", 0, sent, true).await }
    });
    router.start("going", "touch go").await.unwrap();
    let came = in_time(router.pieces("exec")).await.concat();
    again.await.unwrap().unwrap();
    assert!(came == sent, "{} bytes of {BYTES}", came.len());
    let stands = in_time(router.input("exec")).await;
    assert_eq!(
        (stands.num_bytes_written, stands.closed),
        (BYTES as u64, true)
    );
    let more = router.write("exec", BYTES + 1, vec![0], false).await;
    assert_eq!(more.unwrap_err().code(), Code::OutOfRange);
}

/// Even while a client is connected, and waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_that_is_dropped_ends_its_sandboxes() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let (busy, mark) = (raw.sandbox().await, uuid::Uuid::new_v4().to_string());
    let script = format!("sleep 1000; echo {mark}");
    busy.start("exec", &script).await.unwrap();
    until(|| runs_here(&mark)).await;
    let waiting = tokio::spawn(async move { busy.pieces("exec").await });
    until(|| count(&double, "TaskExecStdioRead") == 1).await;
    drop(double);
    until(|| !runs_here(&mark)).await;
    in_time(waiting).await.unwrap_err();
}

/// Whether this machine has a process with `word` in its command line.
fn runs_here(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(word))
}

fn count(double: &Double, name: &str) -> usize {
    let calls = double.calls();
    calls.iter().filter(|call| call.name == name).count()
}
