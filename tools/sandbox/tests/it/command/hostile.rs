//! Insides that break each rule: the sandbox is lost, with the reason, and nothing hangs.

use std::io::{Read, Write};
use std::time::Duration;

use pullwright_core::sandbox::{ProcessExit, SandboxError};
use pullwright_sandbox::spawner::wire::{
    Channel, Exit, Frame, HEADER_BYTES, Hello, MARKER, Ready, VERSION, WINDOW_BYTES, body_len,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bench::{Yard, again};
use crate::bench::{bounded, run, sh};

/// Tells this executable which rule to break.
const PART: &str = "PULLWRIGHT_TEST_HOSTILE_PART";

/// What an inside says once the first process is asked for, and what becomes of that.
const AFTER_SPAWN: &[(&str, &str)] = &[
    (
        "unknown-start",
        "a start that was not asked for (process 77)",
    ),
    ("unknown-exit", "the end of no process (process 77)"),
    (
        "unknown-data",
        "a channel that is not open (stdout of process 77)",
    ),
    (
        "stdin-data",
        "a channel that is not open (stdin of process 1)",
    ),
    (
        "stdout-credit",
        "a channel that is not open (stdout of process 1)",
    ),
    ("early-exit", "the end of no process (process 1)"),
    ("start-twice", "a start that was not asked for (process 1)"),
    ("refuse-started", "a refusal of nothing (process 1)"),
    ("exit-twice", "the end of no process (process 1)"),
    ("huge-code", "an end that no process has (process 1)"),
    ("huge-signal", "an end that no process has (process 1)"),
    ("no-bytes", "a frame without bytes (stdout of process 1)"),
    (
        "over-window",
        "more bytes than there is credit for (stdout of process 1)",
    ),
    (
        "data-after-end",
        "bytes after the end (stdout of process 1)",
    ),
    ("end-twice", "a second end (stdout of process 1)"),
    ("stop-twice", "a second stop (stdin of process 1)"),
    ("no-credit", "a wrong credit (stdin of process 1)"),
    ("over-credit", "a wrong credit (stdin of process 1)"),
    (
        "stdin-after-exit",
        "a channel that is not open (stdin of process 1)",
    ),
    ("pong", "an answer to a ping that was not sent"),
    ("ping", "a frame that is not its to send"),
    ("spawn", "a frame that is not its to send"),
    ("hello-again", "a frame that is not its to send"),
    (
        "over-size",
        "a frame of 65537 bytes, where at most 65536 are allowed",
    ),
    ("over-size-4g", "a frame of 4294967295 bytes"),
    ("unknown-kind", "a frame of the unknown kind 200"),
    ("malformed", "a frame of kind 16 whose code is wrong"),
    ("empty-frame", "a frame of kind 0 whose kind is wrong"),
    ("half-frame", "its stream broke off"),
    (
        "dies",
        "its stream ended; `env` ended with signal: 9 (SIGKILL)",
    ),
    (
        "exits",
        "its stream ended; `env` ended with exit status: 3 and complained: last words",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_loses_the_sandbox() {
    let mut wrong = Vec::new();
    for (part, expected) in AFTER_SPAWN {
        let told = reason_of(part).await;
        if !told.contains(expected) {
            wrong.push(format!(
                "{part}\n  told:     {told}\n  expected: {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Spawns, and looks until the sandbox is lost, as it must be soon.
async fn reason_of(part: &str) -> String {
    let sandbox = hostile(part).open().await;
    let first = bounded(sandbox.spawn(sh("true"))).await;
    let process = match first {
        Err(error @ SandboxError::Lost { .. }) => return error.to_string(),
        Err(error) => return format!("not lost: {error}"),
        Ok(process) => process,
    };
    // Nobody reads, and the next one is not answered but by the end.
    let next = bounded(sandbox.spawn(sh("true"))).await;
    drop(process);
    bounded(sandbox.close()).await.unwrap();
    match next {
        Err(error @ SandboxError::Lost { .. }) => error.to_string(),
        Err(error) => format!("not lost: {error}"),
        Ok(_) => "not lost at all".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_sandbox_was_asked_fails() {
    let sandbox = hostile("over-size").open().await;
    let mut process = bounded(sandbox.spawn(sh("true"))).await.unwrap();
    let mut rest = Vec::new();
    let error = bounded(process.stdout.read_to_end(&mut rest))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("a frame of 65537 bytes"),
        "{error}"
    );
    let error = bounded(async {
        loop {
            if let Err(error) = process.stdin.write_all(&[0; 4096]).await {
                break error;
            }
        }
    });
    assert!(error.await.to_string().contains("a frame of 65537 bytes"));
    assert!(bounded(process.exit).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inside_that_takes_no_input_holds_only_its_writer() {
    let sandbox = hostile("deaf").open().await;
    let mut process = bounded(sandbox.spawn(sh("cat"))).await.unwrap();
    let mut taken = 0_usize;
    // A bounded part is taken, then the writer waits.
    loop {
        let write = process.stdin.write(&[0; 4096]);
        match tokio::time::timeout(Duration::from_millis(300), write).await {
            Ok(count) => taken += count.unwrap(),
            Err(_) => break,
        }
        assert!(taken < 2 << 20, "{taken} bytes were taken");
    }
    bounded(sandbox.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inside_that_does_not_leave_is_killed() {
    let sandbox = hostile("stays").open().await;
    let process = bounded(sandbox.spawn(sh("true"))).await.unwrap();
    bounded(sandbox.close()).await.unwrap();
    assert!(bounded(process.exit).await.is_err());
    let told = sandbox.spawn(sh("true")).await.unwrap_err().to_string();
    assert_eq!(told, "the command sandbox is gone: it is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_script_is_an_inside() {
    let sandbox = hostile("honest").open().await;
    let ran = run(&*sandbox, sh("true")).await;
    assert_eq!(
        (ran.stdout.as_str(), ran.exit),
        ("hello\n", ProcessExit::Code(7))
    );
    bounded(sandbox.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_before_it_is_open_is_told() {
    for (part, expected) in [
        ("other-version", "it has version 99 of the language"),
        ("relative-workspace", "it sent a workspace that cannot be"),
        ("relative-tool-host", "it sent a tool host that cannot be"),
        ("ready-first", "it sent a first frame that cannot be"),
        (
            "exit-for-ready",
            "it sent a frame before it was ready that cannot be",
        ),
        ("failed", "it cannot be opened: no room"),
        ("garbage", "it sent a frame of 2004318071 bytes"),
        ("hangs-up", "its stream ended too early"),
    ] {
        let told = hostile(part).refusal().await.to_string();
        assert!(told.contains(expected), "{part}: {told}");
    }
}

fn hostile(part: &str) -> Yard {
    Yard::of(&again("command::hostile::the_inside", &[PART, "=", part]))
}

#[test]
#[ignore = "it is the inside of other tests"]
fn the_inside() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    play(&part);
    std::process::exit(0);
}

fn play(part: &str) {
    say(MARKER);
    match part {
        "garbage" => return say(&[b'w'; 4096]),
        "ready-first" => return frame(&ready("/tmp")),
        "other-version" => return frame(&hello(99, "/bin/sh")),
        "relative-tool-host" => frame(&hello(VERSION, "sh")),
        _ => frame(&hello(VERSION, "/bin/sh")),
    }
    hear(|frame| matches!(frame, Frame::Uploaded));
    match part {
        "relative-workspace" => return frame(&ready("tmp")),
        "exit-for-ready" => return frame(&exit(Exit::Code(0))),
        "failed" => {
            let why = "no\x1b\nroom".to_owned();
            return frame(&Frame::Failed { why });
        }
        "hangs-up" => return,
        _ => frame(&ready("/tmp")),
    }
    hear(|frame| matches!(frame, Frame::Spawn { .. }));
    after_spawn(part);
    match part {
        "half-frame" | "exits" | "dies" => {}
        "stays" | "deaf" => loop {
            std::thread::park();
        },
        // Until the host hangs up.
        _ => hear(|frame| matches!(frame, Frame::Bye)),
    }
}

fn after_spawn(part: &str) {
    let unstarted = ["unknown-start", "unknown-exit", "early-exit"];
    if !unstarted.contains(&part) {
        frame(&Frame::Started { id: 1 });
    }
    let [stdin, stdout] = [Channel::Stdin, Channel::Stdout];
    match part {
        "unknown-start" => frame(&Frame::Started { id: 77 }),
        "unknown-exit" => frame(&Frame::Exit {
            id: 77,
            exit: Exit::Code(0),
        }),
        "unknown-data" => frame(&data(77, stdout, 1)),
        "stdin-data" => frame(&data(1, stdin, 1)),
        "stdout-credit" => frame(&credit(stdout, 1)),
        "early-exit" => frame(&exit(Exit::Code(0))),
        "start-twice" => frame(&Frame::Started { id: 1 }),
        "refuse-started" => frame(&Frame::Refused {
            id: 1,
            why: String::new(),
        }),
        "exit-twice" => (0..2).for_each(|_| frame(&exit(Exit::Code(0)))),
        "huge-code" => frame(&exit(Exit::Code(256))),
        "huge-signal" => frame(&exit(Exit::Signal(i32::MAX))),
        "no-bytes" => frame(&data(1, stdout, 0)),
        "over-window" => flood(),
        "data-after-end" => {
            frame(&Frame::End {
                id: 1,
                channel: stdout,
            });
            frame(&data(1, stdout, 1));
        }
        "end-twice" => (0..2).for_each(|_| {
            frame(&Frame::End {
                id: 1,
                channel: stdout,
            })
        }),
        "stop-twice" => (0..2).for_each(|_| {
            frame(&Frame::Stop {
                id: 1,
                channel: stdin,
            })
        }),
        "no-credit" => frame(&credit(stdin, 0)),
        "over-credit" => frame(&credit(stdin, u32::MAX)),
        "stdin-after-exit" => {
            frame(&exit(Exit::Code(0)));
            frame(&Frame::Stop {
                id: 1,
                channel: stdin,
            });
        }
        "pong" => frame(&Frame::Pong),
        "ping" => frame(&Frame::Ping),
        "spawn" => frame(&Frame::Kill { id: 1 }),
        "hello-again" => frame(&hello(VERSION, "/bin/sh")),
        "over-size" => say(&65_537_u32.to_be_bytes()),
        "over-size-4g" => say(&u32::MAX.to_be_bytes()),
        "unknown-kind" => say(&[0, 0, 0, 1, 200]),
        "malformed" => say(&[0, 0, 0, 6, 16, 0, 0, 0, 1, 0]),
        "empty-frame" => say(&[0, 0, 0, 0]),
        "half-frame" => say(&[0, 0, 0, 9, 16]),
        "dies" => {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap()
        }
        "exits" => {
            eprintln!("last \x1b\nwords");
            std::process::exit(3);
        }
        "honest" => honest(),
        "stays" | "deaf" => {}
        other => panic!("no part {other}"),
    }
}

/// Never waits for credit.
fn flood() {
    let chunk = data(1, Channel::Stdout, 32 * 1024).encode().unwrap();
    let frames = usize::try_from(WINDOW_BYTES).unwrap() / (32 * 1024) + 1;
    say(&chunk.repeat(frames));
}

fn honest() {
    let bytes = b"hello\n".to_vec();
    frame(&Frame::Data {
        id: 1,
        channel: Channel::Stdout,
        bytes,
    });
    frame(&Frame::End {
        id: 1,
        channel: Channel::Stdout,
    });
    frame(&Frame::End {
        id: 1,
        channel: Channel::Stderr,
    });
    frame(&exit(Exit::Code(7)));
}

fn hello(version: u32, tool_host: &str) -> Frame {
    let tool_host = tool_host.to_owned();
    Frame::Hello(Hello { version, tool_host })
}

fn ready(workspace: &str) -> Frame {
    let workspace = workspace.to_owned();
    Frame::Ready(Ready { workspace })
}

fn exit(exit: Exit) -> Frame {
    Frame::Exit { id: 1, exit }
}

fn data(id: u32, channel: Channel, count: usize) -> Frame {
    let bytes = vec![b'x'; count];
    Frame::Data { id, channel, bytes }
}

fn credit(channel: Channel, bytes: u32) -> Frame {
    Frame::Credit {
        id: 1,
        channel,
        bytes,
    }
}

fn frame(frame: &Frame) {
    say(&frame.encode().unwrap());
}

/// The host may have hung up.
fn say(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Reads the host's frames until one is the wanted one, or until it hangs up.
fn hear(wanted: impl Fn(&Frame) -> bool) {
    let mut stdin = std::io::stdin().lock();
    let mut header = [0; HEADER_BYTES];
    while stdin.read_exact(&mut header).is_ok() {
        let mut body = vec![0; body_len(header).unwrap()];
        stdin.read_exact(&mut body).unwrap();
        if wanted(&Frame::decode(&body).unwrap()) {
            return;
        }
    }
}
