//! From the command to a sandbox that answers, or to the reason why not.

use std::time::Instant;

use pullwright_core::sandbox::{SandboxError, SandboxHandle};
use serde_json::json;

use super::bench::{Yard, host, spawner};
use crate::bench::{bounded, gone, pids, run, sh};

#[test]
fn a_program_that_is_not_there_is_told_at_once() {
    for program in ["no-such-engine", "/no/such/engine", "./no-such-engine"] {
        let Err(error) = host(&[program, "run"], "") else {
            panic!("{program} was taken");
        };
        assert!(matches!(error, SandboxError::Refused { .. }), "{error}");
        let told = error.to_string();
        assert!(
            told.contains("no-such-engine") || told.contains("/no/such/engine"),
            "{told}"
        );
        assert!(told.contains("plugins.toml"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_is_told_with_its_words() {
    let script = "echo pulling; printf 'manifest \\033[1munknown' >&2; exit 125";
    let error = Yard::of(&["sh", "-c", script]).refusal().await;
    assert!(matches!(error, SandboxError::Refused { .. }), "{error}");
    let told = error.to_string();
    for part in [
        "pulling",
        "exit status: 125",
        "manifest [1munknown",
        "by hand",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_speaks_is_given_up() {
    for script in [
        "sleep 1000",
        "echo banner; sleep 1000",
        "trap '' TERM; sleep 1000 & wait",
    ] {
        let begun = Instant::now();
        let yard = Yard::with(&["sh", "-c", script], "startup_timeout_sec = 0.3");
        let told = yard.refusal().await.to_string();
        assert!(
            told.contains("did not begin to speak within 0.3 s"),
            "{told}"
        );
        assert!(told.contains("startup_timeout_sec"), "{told}");
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banner_is_passed_over() {
    let banner = "printf 'Welcome!\\r\\n\\n\\036==== pullwright \\377\\0'; exec \"$@\"";
    let yard = Yard::of(&[&["sh", "-c", banner, "sh"], spawner().as_slice()].concat());
    let sandbox = yard.open().await;
    assert_eq!(run(&*sandbox, sh("cat file")).await.stdout, "content\n");
    bounded(sandbox.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banner_without_end_is_not() {
    for script in ["yes", "exec cat /dev/zero"] {
        let error = Yard::of(&["sh", "-c", script]).refusal().await;
        assert!(matches!(error, SandboxError::Lost { .. }), "{error}");
        assert!(
            error.to_string().contains("it printed over 65536 bytes"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_told() {
    let script = "printf '\\036==== pullwright spawner ====\\r\\n'; sleep 1000";
    let told = Yard::of(&["sh", "-c", script]).refusal().await.to_string();
    assert!(told.contains("remove `-t` or `--tty`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_variables_reach_the_command() {
    // Every test has these variables, from cargo.
    let script = "env >&2; exit 1";
    let told = Yard::of(&["sh", "-c", script]).refusal().await.to_string();
    assert!(
        told.contains("PATH=") && !told.contains("CARGO_MANIFEST_DIR"),
        "{told}"
    );
    let keys = "env_vars = ['CARGO_MANIFEST_DIR', 'PULLWRIGHT_TEST_NOT_SET']";
    let told = Yard::with(&["sh", "-c", script], keys)
        .refusal()
        .await
        .to_string();
    assert!(
        told.contains("CARGO_MANIFEST_DIR=") && !told.contains("NOT_SET"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_are_filled() {
    let script = "echo \"$@\" >&2; exit 1";
    let words = [
        "sh",
        "-c",
        script,
        "sh",
        "{workspace}:/w",
        "{memory_mb}m",
        "u{uid}.{gid}",
        "{pullwright}",
        "${HOME}",
    ];
    let yard = Yard::with(&words, "memory_mb = 123");
    let told = yard.refusal().await.to_string();
    let id = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let checkout = yard.checkout();
    let expected = format!(
        "{}:/w 123m u{id}.{group} /bin/sh ${{HOME}}",
        checkout.display()
    );
    assert!(told.contains(&expected), "{told}\n{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_kills_what_the_command_left() {
    let script = "sleep 1000 & echo $! >&2; setsid sleep 1000 & exec \"$@\"";
    let yard = Yard::of(&[&["sh", "-c", script, "sh"], spawner().as_slice()].concat());
    let sandbox = yard.open().await;
    let mut process = sandbox.spawn(sh("echo $PPID; sleep 1000")).await.unwrap();
    let inside = pids(&mut process, 1).await;
    let list = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", inside[0])).unwrap();
    let children: Vec<u32> = list
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(children.len() >= 2, "{list}");
    bounded(sandbox.close()).await.unwrap();
    gone(&inside).await;
    gone(&children).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_sandbox_ends() {
    let yard = Yard::sent();
    let sandbox = yard.open().await;
    let mut process = sandbox
        .spawn(sh("echo $PPID; echo $$; sleep 1000"))
        .await
        .unwrap();
    let pids = pids(&mut process, 2).await;
    drop(sandbox);
    gone(&pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_finds_nothing_again() {
    let yard = Yard::sent();
    let sandbox = yard.open().await;
    let handle = sandbox.handle();
    assert_eq!(handle.kind, "command");
    let other = SandboxHandle {
        kind: "none".to_owned(),
        data: json!({}),
    };
    for (handle, expected) in [(handle, "open a fresh one"), (other, "`none`")] {
        let Err(error) = yard
            .host()
            .attach(&handle, tokio::sync::mpsc::channel(1).0)
            .await
        else {
            panic!("it was found");
        };
        assert!(matches!(error, SandboxError::Lost { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    bounded(sandbox.close()).await.unwrap();
}

#[test]
fn the_warning_names_what_is_not_kept() {
    let warning = Yard::sent().host().warning().unwrap();
    for word in ["network", "memory", "disk", "processes", "`env`"] {
        assert!(warning.contains(word), "{word}: {warning}");
    }
}
