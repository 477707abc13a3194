//! Processes over the stream: their bytes, their end, and each beside the others.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pullwright_core::sandbox::{ProcessExit, SandboxCommand, SandboxError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bench::{Yard, spawner};
use crate::bench::{bounded, finish, gone, pids, run, runs, sh, skipped_without_root};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_in_and_out() {
    let sandbox = Yard::sent().open().await;
    let mut process = sandbox.spawn(SandboxCommand::new(["cat"])).await.unwrap();
    process.stdin.write_all(b"line\n\xff\0").await.unwrap();
    process.stdin.flush().await.unwrap();
    let mut back = [0; 7];
    bounded(process.stdout.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"line\n\xff\0");
    assert_eq!(finish(process).await.exit, ProcessExit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_in_and_out() {
    let sandbox = Yard::sent().open().await;
    let process = sandbox.spawn(SandboxCommand::new(["cat"])).await.unwrap();
    let (mut stdin, mut stdout) = (process.stdin, process.stdout);
    let sent: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 253) as u8).collect();
    let mut back = Vec::new();
    let writing = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let (_, read) = bounded(async { tokio::join!(writing, stdout.read_to_end(&mut back)) }).await;
    read.unwrap();
    assert!(back == sent);
    assert_eq!(bounded(process.exit).await.unwrap(), ProcessExit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_as_it_was() {
    let sandbox = Yard::sent().open().await;
    let ran = run(&*sandbox, sh("echo out; echo err >&2; exit 7")).await;
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(ran.exit, ProcessExit::Code(7));
    let ran = run(&*sandbox, sh("kill -TERM $$")).await;
    assert_eq!(ran.exit, ProcessExit::Signal(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_its_own() {
    let sandbox = Yard::of(
        &[
            "env",
            "PULLWRIGHT_TEST_PASSED=yes",
            "PULLWRIGHT_TEST_KEPT=no",
        ]
        .into_iter()
        .chain(spawner())
        .collect::<Vec<_>>(),
    )
    .open()
    .await;
    let mut command = SandboxCommand::new(["env"]);
    command.env.insert("ADDED".to_owned(), "yes".to_owned());
    let ran = run(&*sandbox, command).await;
    let names: BTreeSet<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    let expected = [
        "ADDED",
        "HOME",
        "LANG",
        "LOGNAME",
        "PATH",
        "PULLWRIGHT_RUN",
        "PULLWRIGHT_SPAWN",
        "PULLWRIGHT_TEST_PASSED",
        "TMPDIR",
        "USER",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let ran = run(
        &*sandbox,
        sh("stat -c %a $HOME $TMPDIR; umask; ls /proc/self/fd; : < /dev/tty"),
    )
    .await;
    assert_eq!(ran.stdout, "700\n700\n0022\n0\n1\n2\n3\n");
    assert_ne!(ran.exit, ProcessExit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inside_cannot_be_read_or_steered() {
    if crate::bench::is_root() {
        eprintln!("SKIPPED: root can read everything");
        return;
    }
    let sandbox = Yard::sent().open().await;
    let script = "cat /proc/$PPID/environ; echo x > /proc/$PPID/fd/1; true";
    let ran = run(&*sandbox, sh(script)).await;
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.matches("denied").count(), 2, "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_told() {
    let sandbox = Yard::sent().open().await;
    for program in ["no-such-program", "./no-such-program", ""] {
        let error = sandbox
            .spawn(SandboxCommand::new([program]))
            .await
            .unwrap_err();
        assert!(matches!(error, SandboxError::Spawn { .. }), "{error}");
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("cannot start `{program}` in the sandbox: ")),
            "{told}"
        );
    }
    for (command, expected) in [
        (SandboxCommand::default(), "cannot start ``"),
        (SandboxCommand::new(["echo", "a\0b"]), "nul byte"),
        (
            SandboxCommand::new(["echo", &"x".repeat(70_000)]),
            "too long together",
        ),
        (
            SandboxCommand {
                cwd: Some(PathBuf::from("missing")),
                ..sh("true")
            },
            "cannot start in the folder",
        ),
    ] {
        let told = sandbox.spawn(command).await.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(run(&*sandbox, sh("echo on")).await.stdout, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_nobody_up() {
    const BYTES: u64 = 50 << 20;
    let sandbox = Yard::sent().open().await;
    let script = format!("head -c {BYTES} /dev/zero; echo $? >&2");
    let slow = sandbox.spawn(sh(&script)).await.unwrap();
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(run(&*sandbox, sh("echo quick")).await.stdout, "quick\n");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
    }
    // What was not read was not taken from the process either: a window of it at most, and pipes.
    let mut stdout = slow.stdout;
    let copied = bounded(tokio::io::copy(&mut stdout, &mut tokio::io::sink())).await;
    assert_eq!(copied.unwrap(), BYTES);
    assert_eq!(bounded(slow.exit).await.unwrap(), ProcessExit::Code(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_nobody_reads_ends_its_writer() {
    let sandbox = Yard::sent().open().await;
    let process = sandbox.spawn(sh("yes; echo $? >&2")).await.unwrap();
    drop(process.stdout);
    let mut told = String::new();
    let mut stderr = process.stderr;
    bounded(stderr.read_to_string(&mut told)).await.unwrap();
    assert!(
        told.contains("141") || told.contains("Broken pipe"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_nobody_reads_breaks() {
    let sandbox = Yard::sent().open().await;
    let mut process = sandbox.spawn(sh("exec <&-; sleep 1000")).await.unwrap();
    let error = bounded(async {
        loop {
            if let Err(error) = process.stdin.write_all(&[0; 4096]).await {
                break error;
            }
        }
    });
    assert_eq!(error.await.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once() {
    let sandbox = Yard::sent().open().await;
    let one = async |number: u32| {
        let ran = run(
            &*sandbox,
            sh(&format!(
                "cat; echo {number}; echo err{number} >&2; exit {}",
                number % 100
            )),
        )
        .await;
        assert_eq!(ran.stdout, format!("{number}\n"));
        assert_eq!(ran.stderr, format!("err{number}\n"));
        assert_eq!(
            ran.exit,
            ProcessExit::Code(i32::try_from(number % 100).unwrap())
        );
    };
    let begun = Instant::now();
    join_all((0..200).map(one)).await;
    eprintln!("200 processes at once took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_most() {
    let sandbox = Yard::sent().open().await;
    let mut all = Vec::new();
    let refused = loop {
        match sandbox.spawn(SandboxCommand::new(["cat"])).await {
            Ok(process) => all.push(process),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(all.len(), 256);
    assert!(refused.contains("256 processes are running"), "{refused}");
    finish(all.pop().unwrap()).await;
    assert_eq!(run(&*sandbox, sh("echo on")).await.stdout, "on\n");
    bounded(sandbox.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_process_dies_with_all_it_started() {
    let sandbox = Yard::sent().open().await;
    let script = "echo $$; sleep 1000 & echo $!; \
                  setsid sh -c 'echo $$; exec sleep 1000' & \
                  (setsid sh -c 'sleep 1000 & echo $!') & wait";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let pids = pids(&mut process, 4).await;
    assert!(pids.iter().all(|pid| runs(*pid)));
    drop(process);
    gone(&pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_process_leaves_nothing_running() {
    let sandbox = Yard::sent().open().await;
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000 & echo $!; sleep 0.1";
    let ran = run(&*sandbox, sh(script)).await;
    let left: Vec<u32> = ran
        .stdout
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert_eq!(left.len(), 2, "{}", ran.stdout);
    gone(&left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hides_from_the_end() {
    let sandbox = Yard::sent().open().await;
    // Without its variables, in a session of its own, and orphaned.
    let script = "env -i setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 1000\" & sleep 1000 & echo $!' & wait; sleep 1000";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let hidden = pids(&mut process, 2).await;
    assert!(hidden.iter().all(|pid| runs(*pid)));
    bounded(sandbox.close()).await.unwrap();
    assert!(hidden.iter().all(|pid| !runs(*pid)), "{hidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_storm_ends_with_the_sandbox() {
    let sandbox = Yard::sent().open().await;
    let script = "echo $PPID; f() { f & exit; }; f & wait; sleep 1000";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let inside = pids(&mut process, 1).await;
    bounded(sandbox.close()).await.unwrap();
    gone(&inside).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_reaped() {
    let sandbox = Yard::sent().open().await;
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (env -i setsid sh -c 'true' &); done; echo $PPID; sleep 0.2";
    let inside = run(&*sandbox, sh(script)).await.stdout;
    let count = format!(
        "grep -l '^State:.Z' /proc/[0-9]*/status | xargs grep -h '^PPid:.{}$' | wc -l",
        inside.trim()
    );
    bounded(async { while run(&*sandbox, sh(&count)).await.stdout.trim() != "0" {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inside_s_death_takes_its_processes_along() {
    the_inside_dies(&Yard::sent()).await;
}

/// A root server's command may give up root's rights.
#[tokio::test(flavor = "multi_thread")]
async fn another_user_s_inside_takes_its_processes_along() {
    if skipped_without_root() {
        return;
    }
    let other = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    the_inside_dies(&Yard::of(&[&other, spawner().as_slice()].concat())).await;
}

async fn the_inside_dies(yard: &Yard) {
    let sandbox = yard.open().await;
    let script = "echo $PPID; echo $$; setsid sh -c 'echo $$; exec sleep 1000' & sleep 1000";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let all = pids(&mut process, 3).await;
    let inside = rustix::process::Pid::from_raw(i32::try_from(all[0]).unwrap()).unwrap();
    rustix::process::kill_process(inside, rustix::process::Signal::KILL).unwrap();
    gone(&all).await;
    let error = bounded(process.stdout.read_to_end(&mut Vec::new()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    let error = bounded(sandbox.spawn(sh("true"))).await.unwrap_err();
    assert!(matches!(error, SandboxError::Lost { .. }), "{error}");
    bounded(sandbox.close()).await.unwrap();
}
