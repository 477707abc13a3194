//! Who ends a sandbox: whoever made it, or else the next server.

use std::sync::Arc;
use std::time::Duration;

use pullwright_core::config::ModalConfig;
use pullwright_core::sandbox::{Sandbox, SandboxHost as _, SandboxNotice};
use pullwright_modal_double::Fault;
use tokio::runtime::Runtime;
use tonic::Code;

use super::doomed::Doomed;
use super::runs::{SANDBOX, code_command, frames_of};
use super::{Bench, double, run, runs_here, tool_host, until};
use crate::runs::command_line::Desk;
use crate::runs::lab::GREET;
use crate::support::in_time;

const FOR_EVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_found_again_with_its_files_and_without_its_processes() {
    let bench = Bench::new().await;
    let mark = uuid::Uuid::new_v4().to_string();
    let left = format!("sleep 1000; echo {mark}");
    let server = Doomed::open(&bench, "echo work > new", &left).await;
    let handle = serde_json::to_string(&server.handle).unwrap();
    let handle = serde_json::from_str(&handle).unwrap();
    let refused = in_time(next(&bench).attach(&handle, tokio::sync::mpsc::channel(1).0))
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("another server"), "{refused}");

    server.kill().await;
    // Nobody told the spawner.
    assert_eq!(spawners(&bench), 1);
    assert!(runs_here(&mark));
    let again = in_time(next(&bench).attach(&handle, tokio::sync::mpsc::channel(1).0))
        .await
        .unwrap();
    assert!(!runs_here(&mark));
    assert_eq!(spawners(&bench), 1, "the old one has ended");
    let (said, _) = run(&*again, "cat file new; pgrep -x sleep || echo none").await;
    assert_eq!(said, "content\nwork\nnone\n");
    assert_eq!(bench.count("SandboxCreateV2"), 1);
    in_time(again.close()).await.unwrap();
    assert_eq!(records(&bench), 0);
    let gone = in_time(next(&bench).attach(&handle, tokio::sync::mpsc::channel(1).0))
        .await
        .err()
        .unwrap();
    assert!(gone.to_string().contains("it was terminated"), "{gone}");
    assert_eq!(records(&bench), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_in_which_nothing_starts_any_more_is_ended() {
    let bench = Bench::new().await;
    let handle = Doomed::open(&bench, "true", "sleep 1000")
        .await
        .kill()
        .await;
    let broken = [Fault::Status(Code::InvalidArgument)];
    bench.double.break_next("TaskExecStart", broken);
    in_time(next(&bench).attach(&handle, tokio::sync::mpsc::channel(1).0))
        .await
        .err()
        .unwrap();
    until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
}

/// Its files are there, its processes are not, and what it used is told at its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_left_is_taken_over_by_the_next_server() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    run(&*sandbox, "echo work > new; sleep 1000 &").await;
    let handle = sandbox.handle();
    in_time(sandbox.leave()).await.unwrap();
    drop(sandbox);
    assert_eq!((bench.double.sandboxes(), records(&bench)), (1, 1));
    let (notices, mut told) = tokio::sync::mpsc::channel(100);
    let again = in_time(next(&bench).attach(&handle, notices)).await;
    let again = again.unwrap();
    let kept = run(&*again, "cat new; pgrep -c sleep").await;
    assert_eq!(kept.0, "work\n0\n");
    in_time(again.close()).await.unwrap();
    assert_eq!((bench.double.sandboxes(), records(&bench)), (0, 0));
    let used = |notice| matches!(notice, SandboxNotice::Used(_));
    assert!(std::iter::from_fn(|| told.try_recv().ok()).any(used));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_that_died_has_left_is_ended_by_the_next_one() {
    let bench = Bench::new().await;
    let kept = bench.open().await;
    let server = Doomed::open(&bench, "true", "sleep 1000").await;
    end_deserted(&next(&bench));
    assert_eq!(bench.double.sandboxes(), 2, "both have a server");
    server.kill().await;
    assert_eq!(spawners(&bench), 2);
    end_deserted(&next(&bench));
    until(|| bench.double.sandboxes() == 1).await;
    assert_eq!(run(&*kept, "cat file").await.0, "content\n");
    in_time(kept.close()).await.unwrap();
    until(|| records(&bench) == 0).await;
}

/// It is made, and the server dies before it has heard of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_whose_server_never_heard_of_it_is_ended_by_the_next_one() {
    let bench = Arc::new(Bench::new().await);
    let unheard = [Fault::Lost(Code::Unavailable), Fault::Late(FOR_EVER)];
    bench.double.break_next("SandboxCreateV2", unheard);
    killed_while(&bench, |bench| bench.count("SandboxCreateV2") == 2).await;
    assert_eq!((bench.double.sandboxes(), records(&bench)), (1, 1));
    end_deserted(&next(&bench));
    until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_nobody_waits_for_any_more_is_ended() {
    // It is made and nobody has heard of it yet; it is there and its spawner is never started.
    for (slow, fault) in [
        ("SandboxCreateV2", Fault::Lost(Code::Unavailable)),
        ("TaskExecStart", Fault::Late(FOR_EVER)),
    ] {
        let bench = Bench::new().await;
        bench.double.break_next(slow, [fault]);
        tokio::select! {
            _ = bench.try_open() => panic!("it opened"),
            () = until(|| bench.double.sandboxes() > 0 && bench.count(slow) > 0) => {}
        }
        until(|| bench.double.sandboxes() == 0 && bench.count("SandboxTerminateV2") > 0).await;
        until(|| records(&bench) == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_for_nobody_only_once() {
    let bench = Bench::new().await;
    let busy = Fault::Busy(Some(30.0));
    bench.double.break_next("SandboxCreateV2", [busy]);
    tokio::select! {
        _ = bench.try_open() => panic!("it opened"),
        () = until(|| bench.count("SandboxCreateV2") == 1 && records(&bench) == 1) => {}
    }
    until(|| records(&bench) == 0).await;
    assert_eq!(bench.count("SandboxCreateV2"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_was_made_unheard_is_looked_for_and_ended() {
    let bench = Bench::new().await;
    let lost = vec![Fault::Lost(Code::Unavailable); 4];
    bench.double.break_next("SandboxCreateV2", lost);
    let refused = bench.try_open().await.0.err().unwrap().to_string();
    assert!(refused.contains("SandboxCreateV2"), "{refused}");
    until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
    assert_eq!(bench.count("SandboxTerminateV2"), 1);
}

/// What was refused last may have been done before.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_was_made_unheard_is_looked_for_whatever_was_said_last() {
    for last in [Fault::Busy(None), Fault::Status(Code::PermissionDenied)] {
        let bench = Bench::new().await;
        let faults = [Fault::Lost(Code::Unavailable), last];
        bench.double.break_next("SandboxCreateV2", faults);
        bench.try_open().await.0.err().unwrap();
        until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
        assert_eq!(bench.count("SandboxTerminateV2"), 1);
    }
}

/// It is looked for where it was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_in_another_environment_is_found_there() {
    let bench = Bench::new().await;
    let account = super::account_in(&bench.double, "staging");
    let host = super::host_with(
        account,
        bench.folder.path(),
        super::config(bench.folder.path(), &[]),
    );
    let bench = Bench { host, ..bench };
    let lost = vec![Fault::Lost(Code::Unavailable); 4];
    bench.double.break_next("SandboxCreateV2", lost);
    bench.try_open().await.0.err().unwrap();
    until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
}

/// Modal's own token of a sandbox is shown in every call about it, and in no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_sandbox_is_shown_to_modal_alone() {
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    let handle = serde_json::to_string(&sandbox.handle()).unwrap();
    in_time(sandbox.close()).await.unwrap();
    let calls = bench.double.calls();
    let tokens = calls.iter().filter_map(|call| {
        let token = call.headers.get("x-modal-sandbox-token")?;
        Some((call.name.as_str(), token))
    });
    let tokens: Vec<_> = tokens.collect();
    let names: Vec<&str> = tokens.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["SandboxGetResourceUsage", "SandboxTerminateV2"]);
    assert!(
        tokens
            .iter()
            .all(|(_, token)| !handle.contains(token.as_str()))
    );
}

/// Modal may still be looking for a machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_not_there_yet_is_looked_for_again() {
    let bench = Arc::new(Bench::new().await);
    let late = [Fault::Late(FOR_EVER)];
    bench.double.break_next("SandboxCreateV2", late);
    killed_while(&bench, |bench| records(bench) == 1).await;
    end_deserted(&next(&bench));
    until(|| bench.count("SandboxListV2") == 1).await;
    until(|| is_free(&bench)).await;
    assert_eq!(records(&bench), 1);
    let record = std::fs::read_dir(bench.folder.path().join("modal")).unwrap();
    let record = record.map(|entry| entry.unwrap().path()).next().unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(record).unwrap();
    file.set_modified(long_ago).unwrap();
    drop(file);
    end_deserted(&next(&bench));
    until(|| records(&bench) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_refused_leaves_no_record() {
    let bench = Bench::new().await;
    let refused = Fault::Status(Code::InvalidArgument);
    bench.double.break_next("SandboxCreateV2", [refused]);
    bench.try_open().await.0.err().unwrap();
    until(|| records(&bench) == 0).await;
    assert_eq!(bench.count("SandboxListV2"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_dropped_is_ended() {
    let bench = Bench::new().await;
    drop(bench.open().await);
    until(|| bench.double.sandboxes() == 0 && records(&bench) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_whose_use_nobody_tells_is_ended_all_the_same() {
    let bench = Bench::new().await;
    let late = [Fault::Late(FOR_EVER)];
    bench.double.break_next("SandboxGetResourceUsage", late);
    let sandbox = bench.open().await;
    in_time(sandbox.close()).await.unwrap();
    assert_eq!((bench.double.sandboxes(), records(&bench)), (0, 0));
}

/// A server that is killed while the sandbox starts has told the next one of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_written_down_before_it_is_open() {
    let bench = Bench::new().await;
    let late = [Fault::Late(FOR_EVER)];
    bench.double.break_next("SandboxCreateV2", late);
    tokio::select! {
        _ = bench.try_open() => panic!("it opened"),
        () = until(|| records(&bench) == 1) => {}
    }
}

/// The answer comes after the run has ended otherwise, and the program does not exit before that.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_its_sandbox_is_made_leaves_none() {
    let double = double(Duration::from_secs(1200)).await;
    let desk = Desk::new(GREET, SANDBOX);
    tool_host(&desk.path);
    // Longer than a run waits for its stages to stop.
    let late = [Fault::Late(Duration::from_secs(4))];
    double.break_next("SandboxCreateV2", late);
    let code = code_command(&desk, &double).spawn().unwrap();
    let asked = || {
        double
            .calls()
            .iter()
            .any(|call| call.name == "SandboxCreateV2")
    };
    until(asked).await;
    let pid = rustix::process::Pid::from_raw(code.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = in_time(code.wait_with_output()).await.unwrap();
    let frames = frames_of(&output);
    assert_eq!(
        frames.last().unwrap()["outcome"],
        "cancelled",
        "{frames:#?}"
    );
    assert_eq!(double.sandboxes(), 0);
    let calls = double.calls();
    let ended = calls
        .iter()
        .filter(|call| call.name == "SandboxTerminateV2");
    assert_eq!(ended.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_in_which_nobody_goes_on_is_ended_by_modal() {
    let bench = Bench::new().await;
    let impatient = ModalConfig {
        idle_timeout: Duration::from_secs(1),
        ..super::config(bench.folder.path(), &[])
    };
    let host = super::host_of(&bench.double, bench.folder.path(), impatient);
    let bench = Bench { host, ..bench };
    let sandbox = bench.open().await;
    let handle = sandbox.handle();
    leave(sandbox);
    until(|| bench.double.sandboxes() == 0).await;
    let ended = in_time(next(&bench).attach(&handle, tokio::sync::mpsc::channel(1).0))
        .await
        .err()
        .unwrap();
    assert!(ended.to_string().contains("idle for too long"), "{ended}");
}

/// A server after the bench's own.
/// What a server does with the sandboxes of runs that have ended.
fn end_deserted(host: &pullwright_sandbox::ModalHost) {
    for run in host.deserted() {
        host.end_deserted(&run);
    }
}

fn next(bench: &Bench) -> pullwright_sandbox::ModalHost {
    super::host(&bench.double, bench.folder.path(), &[])
}

/// Gives a sandbox up without ending it, but says goodbye to the spawner. To one that misses a killed server
/// the same happens, after minutes.
fn leave(sandbox: Arc<dyn Sandbox>) {
    let outside_of_any_runtime = std::thread::spawn(move || drop(sandbox));
    outside_of_any_runtime.join().unwrap();
}

/// A server that is killed once something is so while it opens a sandbox.
async fn killed_while(bench: &Arc<Bench>, is_so: impl Fn(&Bench) -> bool + Send + 'static) {
    let dying = Arc::clone(bench);
    let server = std::thread::spawn(move || {
        let server = Runtime::new().unwrap();
        server.block_on(async {
            tokio::select! {
                _ = dying.try_open() => panic!("it opened"),
                () = until(|| is_so(&dying)) => {}
            }
        });
        // What goes on for nobody ends here, too.
        drop(server);
    });
    tokio::task::spawn_blocking(|| server.join().unwrap())
        .await
        .unwrap();
}

/// Whether nobody holds the only record.
fn is_free(bench: &Bench) -> bool {
    let mut found = std::fs::read_dir(bench.folder.path().join("modal")).unwrap();
    let record = found.next().unwrap().unwrap().path();
    std::fs::File::open(record).unwrap().try_lock().is_ok()
}

/// How many spawners there are that may still be told something.
fn spawners(bench: &Bench) -> usize {
    let running = bench.double.running();
    let spawners = running
        .iter()
        .filter(|one| one.is_input_open && one.command.contains(&"spawner".to_owned()));
    spawners.count()
}

fn records(bench: &Bench) -> usize {
    std::fs::read_dir(bench.folder.path().join("modal")).map_or(0, Iterator::count)
}
