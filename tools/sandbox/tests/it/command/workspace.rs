//! The workspace, shared or sent.

use std::fs::{self, Permissions};
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use pullwright_sandbox::spawner::wire::{
    Entry, EntryKind, Frame, HEADER_BYTES, MARKER, Open, body_len,
};

use super::bench::Yard;
use crate::bench::{bounded, new_run, open_in, run, sh};

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_one_is_the_folder_itself() {
    let yard = Yard::shared();
    let sandbox = yard.open().await;
    let ran = run(&*sandbox, sh("pwd; cat file; echo more > new")).await;
    let checkout = yard.checkout();
    assert_eq!(sandbox.workspace(), checkout);
    assert_eq!(ran.stdout, format!("{}\ncontent\n", checkout.display()));
    bounded(sandbox.close()).await.unwrap();
    assert_eq!(fs::read_to_string(checkout.join("new")).unwrap(), "more\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_one_is_a_copy_that_is_removed() {
    let yard = Yard::sent();
    fill(&yard.checkout());
    let sandbox = yard.open().await;
    let script = "pwd; cat file sub/deep/inner; readlink link out; ls -1 | wc -l; \
                  stat -c %a program sub; wc -c < big; cksum < big; ls sub/deep | od -c | head -1; \
                  echo changed > file";
    let ran = run(&*sandbox, sh(script)).await;
    let here = run_here(&yard.checkout(), "cksum < big");
    let root = sandbox.workspace().to_owned();
    assert_ne!(root, yard.checkout());
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..11],
        [
            root.to_str().unwrap(),
            "content",
            "inner",
            "sub/deep",
            "/etc/passwd",
            "7",
            "755",
            "755",
            "3000000",
            here.trim(),
            "0000000   i   n   n   e   r  \\n   n 377   e  \\n",
        ],
        "{}",
        ran.stderr
    );
    bounded(sandbox.close()).await.unwrap();
    assert!(!root.exists());
    assert!(!root.parent().unwrap().exists());
    assert_eq!(
        fs::read_to_string(yard.checkout().join("file")).unwrap(),
        "content\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_folder_is_removed_too() {
    let yard = Yard::sent();
    let sandbox = yard.open().await;
    let script =
        "mkdir -p a/b/c && chmod 0 a/b && chmod 500 a . && mkdir $TMPDIR/x && chmod 0 $TMPDIR/x";
    run(&*sandbox, sh(script)).await;
    let own = sandbox.workspace().parent().unwrap().to_owned();
    bounded(sandbox.close()).await.unwrap();
    assert!(!own.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_inside_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("TMPDIR={}", folder.path().display());
    let words = [&["env", &place], super::bench::spawner().as_slice()].concat();
    let yard = Yard::of(&words);
    let (killed, lives) = (yard.open().await, yard.open().await);
    assert!(
        killed
            .workspace()
            .starts_with(folder.path().canonicalize().unwrap())
    );
    // Whether it is still told that this started is a matter of chance.
    let started = bounded(killed.spawn(sh("kill -9 $PPID; sleep 1000"))).await;
    if let Ok(process) = started {
        assert!(bounded(process.exit).await.is_err());
    }
    assert!(killed.workspace().exists());
    let next = yard.open().await;
    assert!(!killed.workspace().parent().unwrap().exists());
    assert_eq!(run(&*lives, sh("cat file")).await.stdout, "content\n");
    bounded(lives.close()).await.unwrap();
    bounded(next.close()).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_told() {
    let yard = Yard::sent();
    let checkout = yard.checkout();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        checkout.join("pipe"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    let told = yard.refusal().await.to_string();
    assert!(
        told.contains("could not be read: pipe: it is neither"),
        "{told}"
    );
    let missing = yard.data.path().join("missing");
    let Err(error) = bounded(open_in(yard.host(), &new_run(), &missing)).await else {
        panic!("it was opened");
    };
    assert!(error.to_string().contains("could not be read"), "{error}");
}

/// The host is no enemy, but what it passes on is: a repository's names.
#[test]
fn an_entry_that_leaves_the_workspace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().to_str().unwrap();
    let link = entry(
        "out",
        EntryKind::Link {
            target: outside.into(),
        },
    );
    for entries in [
        vec![file("../x", 0)],
        vec![file("", 0)],
        vec![file("/tmp/x", 0)],
        vec![file("a/../../x", 0)],
        vec![file("./../x", 0)],
        vec![file("missing/x", 0)],
        vec![link.clone(), file("out/x", 0)],
        vec![link.clone(), entry("out/x", EntryKind::Folder)],
        vec![
            link.clone(),
            entry(
                "out/x",
                EntryKind::Link {
                    target: b"y".to_vec(),
                },
            ),
        ],
        vec![link.clone(), file("out", 0)],
        vec![file("twice", 0), file("twice", 0)],
        vec![file("short", 2), Frame::Chunk(vec![1])],
        vec![file("long", 1), Frame::Chunk(vec![1, 2])],
        vec![
            file("over", 1),
            Frame::Chunk(vec![1]),
            Frame::Chunk(vec![2]),
        ],
        vec![Frame::Chunk(vec![1])],
        vec![Frame::Bye],
    ] {
        let answer = inside_answers(&entries);
        assert!(
            matches!(answer, Frame::Failed { .. }),
            "{entries:?}: {answer:?}"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let answer = inside_answers(&[link, file("fine", 1), Frame::Chunk(vec![1])]);
    assert!(matches!(answer, Frame::Ready { .. }), "{answer:?}");
}

fn file(path: &str, size: u64) -> Frame {
    entry(path, EntryKind::File { mode: 0o644, size })
}

fn entry(path: &str, kind: EntryKind) -> Frame {
    let path = path.as_bytes().to_vec();
    Frame::Entry(Entry { path, kind })
}

/// What an inside says to an upload of these.
fn inside_answers(entries: &[Frame]) -> Frame {
    let words = super::bench::spawner();
    let mut inside = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (inside.stdin.take().unwrap(), inside.stdout.take().unwrap());
    let mut seen = Vec::new();
    while !seen.ends_with(MARKER) {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    assert!(matches!(next_frame(&mut stdout), Frame::Hello(_)));
    let open = Frame::Open(Open {
        run: "test".to_owned(),
        upload: true,
    });
    for frame in [&open].into_iter().chain(entries).chain([&Frame::Uploaded]) {
        // It may have hung up after the bad one.
        let _ = stdin.write_all(&frame.encode().unwrap());
    }
    let answer = next_frame(&mut stdout);
    drop(stdin);
    inside.wait().unwrap();
    answer
}

fn next_frame(stdout: &mut impl Read) -> Frame {
    let mut header = [0; HEADER_BYTES];
    stdout.read_exact(&mut header).unwrap();
    let mut body = vec![0; body_len(header).unwrap()];
    stdout.read_exact(&mut body).unwrap();
    Frame::decode(&body).unwrap()
}

fn fill(checkout: &Path) {
    fs::create_dir_all(checkout.join("sub/deep")).unwrap();
    fs::write(checkout.join("sub/deep/inner"), "inner\n").unwrap();
    let strange = std::ffi::OsStr::from_bytes(b"n\xffe");
    fs::write(checkout.join("sub/deep").join(strange), "").unwrap();
    symlink("sub/deep", checkout.join("link")).unwrap();
    symlink("/etc/passwd", checkout.join("out")).unwrap();
    let program = checkout.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    fs::write(checkout.join("big"), big).unwrap();
    fs::write(checkout.join("empty"), "").unwrap();
}

fn run_here(folder: &Path, script: &str) -> String {
    let ran = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output();
    String::from_utf8(ran.unwrap().stdout).unwrap()
}
