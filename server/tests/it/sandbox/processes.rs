//! Processes: their input and output, their end, and the end of what they start.

use std::io::ErrorKind;

use pullwright_core::sandbox::{ProcessExit, SandboxError};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bench::{
    Bench, command, finish, first_line, make_executable, nothing_runs, own, programs, run, sh,
};
use crate::support::in_time;

#[tokio::test]
async fn bytes_go_in_and_out() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut process = sandbox.spawn(command(&["cat"])).await.unwrap();
    process.stdin.write_all(b"line\n\xff\0").await.unwrap();
    let mut back = [0; 7];
    in_time(process.stdout.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"line\n\xff\0");
    assert_eq!(finish(process).await.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn the_end_is_told_as_it_was() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let ran = run(&sandbox, "echo out; echo err >&2; exit 7").await;
    assert_eq!((&*ran.stdout, &*ran.stderr), ("out\n", "err\n"));
    assert_eq!(ran.exit, ProcessExit::Code(7));
    assert_eq!(
        run(&sandbox, "kill -TERM $$").await.exit,
        ProcessExit::Signal(15)
    );
    assert_eq!(
        run(&sandbox, "kill -KILL $$").await.exit,
        ProcessExit::Signal(9)
    );
}

#[tokio::test]
async fn standard_output_can_be_opened_by_name() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let ran = run(&sandbox, "echo one > /dev/stdout; echo two > /dev/stderr").await;
    assert_eq!((&*ran.stdout, &*ran.stderr), ("one\n", "two\n"));
}

#[tokio::test]
async fn signals_and_descriptors_are_those_of_a_fresh_process() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "grep -E '^Sig(Blk|Ign):|^NoNewPrivs|^Seccomp:' /proc/self/status | tr -d '\\t'; \
                  ls /proc/self/fd | tr '\\n' ' '; : < /dev/tty";
    let ran = run(&sandbox, script).await;
    let expected = "SigBlk:0000000000000000\nSigIgn:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n\
                    0 1 2 3 ";
    assert_eq!(ran.stdout, expected);
    assert!(ran.stderr.contains("/dev/tty"), "{}", ran.stderr);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let bench = Bench::new();
    make_executable(
        &bench.plan.workspace.join("odd"),
        "#!/no/such/interpreter\n",
    );
    std::fs::write(bench.plan.workspace.join("plain"), "text").unwrap();
    let sandbox = bench.open().await;
    let cases = [
        (
            command(&["no-such-program"]),
            ErrorKind::NotFound,
            "sandbox's PATH",
        ),
        (
            command(&["./missing"]),
            ErrorKind::NotFound,
            "there is no ./missing",
        ),
        (
            command(&["./odd"]),
            ErrorKind::NotFound,
            "or not what runs it",
        ),
        (
            command(&["./plain"]),
            ErrorKind::PermissionDenied,
            "does not start it",
        ),
        (command(&[]), ErrorKind::InvalidInput, "it has no name"),
        (command(&["echo", "a\0b"]), ErrorKind::InvalidInput, "NUL"),
    ];
    for (command, kind, words) in cases {
        let error = in_time(sandbox.spawn(command)).await.unwrap_err();
        let SandboxError::Spawn { source, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    for (cwd, words) in [
        ("/missing", "cannot be entered"),
        ("relative", "clean"),
        ("/a/..", "clean"),
    ] {
        let mut elsewhere = command(&["true"]);
        elsewhere.cwd = cwd.into();
        let error = in_time(sandbox.spawn(elsewhere)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    nothing_runs(&sandbox).await;
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_before_it_is_sent() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let error = sandbox
        .spawn(command(&["echo", &"x".repeat(128 * 1024)]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("longer than 128 KiB"), "{error}");
    let long = "x".repeat(120 * 1024);
    let ran = finish(sandbox.spawn(command(&["echo", &long])).await.unwrap()).await;
    assert_eq!(ran.stdout.trim_end(), long);
}

#[tokio::test]
async fn a_daemon_dies_with_what_started_it() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "setsid sh -c 'trap \"\" TERM HUP INT; echo ready; exec sleep 1000' & \
                  (setsid sleep 1000 > /dev/null 2>&1 < /dev/null &) ; sleep 1000 & read -r _";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    assert_eq!(first_line(&mut process).await, "ready");
    let daemons = async || {
        let names = programs(&sandbox).await;
        names.iter().filter(|name| *name == "sleep").count()
    };
    in_time(async { while daemons().await < 3 {} }).await;
    process.stdin.write_all(b"go\n").await.unwrap();
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Code(0));
    nothing_runs(&sandbox).await;
}

#[tokio::test]
async fn a_dropped_process_dies_with_all_it_started() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "setsid sleep 1000 & sleep 1000 & echo ready; wait";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    first_line(&mut process).await;
    process.kill.kill();
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
    nothing_runs(&sandbox).await;
}

#[tokio::test]
async fn one_process_does_not_take_another_with_it() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let stays = sandbox.spawn(command(&["cat"])).await.unwrap();
    drop(sandbox.spawn(command(&["sleep", "1000"])).await.unwrap());
    run(&sandbox, "kill -9 -1").await;
    assert_eq!(finish(stays).await.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn many_run_at_once() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let one = |number: u32| {
        let sandbox = &sandbox;
        async move { run(sandbox, &format!("echo {number}")).await.stdout }
    };
    let all = futures_util::future::join_all((0..20).map(one)).await;
    let expected: Vec<_> = (0..20).map(|number| format!("{number}\n")).collect();
    assert_eq!(all, expected);
    nothing_runs(&sandbox).await;
}

/// Landlock keeps processes inside from killing it; an older kernel or the host's may not.
#[tokio::test]
async fn what_loses_its_supervisor_is_killed() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let stays = sandbox.spawn(command(&["cat"])).await.unwrap();
    let init = own(&bench, "init");
    let before: Vec<_> = super::bench::descendants(init);
    let script = "setsid sleep 1000 & setsid sh -c 'sleep 1000 & wait' & echo ready; wait";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    first_line(&mut process).await;
    let after = super::bench::descendants(init);
    let new = after
        .iter()
        .find(|found| found.1 == "supervisor" && !before.contains(found));
    let supervisor = i32::try_from(new.unwrap().0).unwrap();
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Signal(9));
    let mut left = programs(&sandbox).await;
    left.retain(|name| name != "supervisor");
    assert_eq!(left, ["cat", "init"]);
    assert_eq!(finish(stays).await.exit, ProcessExit::Code(0));
    nothing_runs(&sandbox).await;
}

#[tokio::test]
async fn there_are_only_so_many_processes() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    // The one that counts must not need to start anything.
    let script = "(while :; do sleep 1000 & done) 2> /dev/null & \
                  until set -- /proc/[0-9]*; [ $# -ge 60 ]; do :; done; wait; \
                  set -- /proc/[0-9]*; echo $#";
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let count: u64 = first_line(&mut process).await.parse().unwrap();
    assert!(count <= bench.plan.limits.processes, "{count}");
    assert_eq!(in_time(process.exit).await.unwrap(), ProcessExit::Code(0));
    nothing_runs(&sandbox).await;
}

#[tokio::test]
async fn bombs_and_storms_end() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let scripts = [
        // As many as there may be, each of which starts more.
        "f() { f & f & f; }; f 2> /dev/null & echo ready; while :; do :; done",
        // Each starts its successor and ends, faster than a list of processes can be read.
        "f() { f & exit; }; f & f & echo ready; while :; do :; done",
        // Each in a session of its own, with no ear for signals.
        "trap '' TERM HUP INT; f() { setsid sh -c 'sleep 1000' & f; }; f 2> /dev/null & \
         echo ready; while :; do :; done",
    ];
    for script in scripts {
        let mut process = sandbox.spawn(sh(script)).await.unwrap();
        first_line(&mut process).await;
        drop(process.kill);
        in_time(process.exit).await.unwrap();
        nothing_runs(&sandbox).await;
    }
}

#[tokio::test]
async fn a_crash_dumps_nothing() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    // With a limit of zero, a host whose dumps go to a program would start it.
    let script = "ulimit -c 0 && sed -n 's/Max core file size *//p' /proc/self/limits | tr -s ' '";
    assert_eq!(run(&sandbox, script).await.stdout, "1 1 bytes \n");
    let ran = run(&sandbox, "sh -c 'kill -SEGV $$'; ls -A").await;
    assert_eq!(ran.stdout, "");
}

#[tokio::test]
async fn limits_hold() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "ulimit -c; ulimit -n; ulimit -f; ulimit -d; ulimit -u 2>/dev/null || \
                  sed -n 's/^Max processes *\\([0-9]*\\).*/\\1/p' /proc/self/limits; \
                  head -c 40M /dev/zero > file; stat -c %s file; \
                  head -c 40M /dev/zero > /tmp/file; stat -c %s /tmp/file; umask";
    let ran = run(&sandbox, script).await;
    let megabyte = 1 << 20;
    let expected = format!(
        "0\n256\n{}\n{}\n64\n{}\n{}\n0022\n",
        32 * megabyte / 512,
        1024 * megabyte / 1024,
        32 * megabyte,
        16 * megabyte,
    );
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
}
