//! Bundles that a sandbox could make by hand. What the trees in them may hold is tried in `take_in.rs`.

use std::io::Write;
use std::process::{Command, Stdio};

use pullwright_protocol::FailureKind;

use super::plant::bytes_of;
use super::trap::Trap;
use crate::lab::{bundle, commit, git, take_in, text};

const BLOB: u8 = 3;
const REF_DELTA: u8 = 7;

/// A pack made byte by byte, with nothing compressed unless it is given so.
struct Pack {
    objects: Vec<u8>,
    count: u32,
}

impl Pack {
    fn new() -> Self {
        Self {
            objects: Vec::new(),
            count: 0,
        }
    }

    fn push(&mut self, kind: u8, size: u64, base: Option<&str>, deflated: &[u8]) {
        self.count += 1;
        let mut rest = size >> 4;
        let mut byte = (kind << 4) | u8::try_from(size & 15).unwrap();
        while rest > 0 {
            self.objects.push(byte | 0x80);
            byte = u8::try_from(rest & 0x7f).unwrap();
            rest >>= 7;
        }
        self.objects.push(byte);
        self.objects.extend(base.map(bytes_of).unwrap_or_default());
        self.objects.extend(deflated);
    }

    /// With its checksum, behind the head of a bundle.
    fn bundle(self, head: &str) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(self.count.to_be_bytes());
        pack.extend(self.objects);
        let sum = sha1(&pack);
        [head.as_bytes(), &pack, &sum].concat()
    }
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("sha1sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    bytes_of(std::str::from_utf8(&output[..40]).unwrap())
}

/// As zlib stores what it does not compress.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut chunks = content.chunks(65535).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).unwrap();
        out.push(u8::from(chunks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(chunk);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in content {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn length(mut size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    bytes.push(u8::try_from(size).unwrap());
    bytes
}

fn head(tip: &str) -> String {
    format!("# v2 git bundle\n{tip} refs/heads/work\n\n")
}

/// A few hundred bytes that say they are a file of more than the machine has: copies of one piece, without end.
#[tokio::test]
async fn a_delta_that_blows_up_is_refused() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let piece = vec![b'x'; 0x00ff_ffff];
    let id = super::plant::store(&trap.lab.path("seed"), "blob", &piece);
    const COPIES: u64 = 2000;
    let size = COPIES * piece.len() as u64;
    let mut delta = [length(piece.len() as u64), length(size)].concat();
    for _ in 0..COPIES {
        delta.extend([0xf0, 0xff, 0xff, 0xff]);
    }
    let mut pack = Pack::new();
    pack.push(BLOB, piece.len() as u64, None, &stored(&piece));
    pack.push(REF_DELTA, delta.len() as u64, Some(&id), &stored(&delta));
    let made = pack.bundle(&head(&base.commit));
    let error = take_in(&source, &base, &made).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Export, "{error}");
    assert!(error.message.contains("not sound"), "{error}");
}

/// An object that says it is larger, or smaller, than it is.
#[tokio::test]
async fn a_size_that_is_a_lie_is_refused() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    for size in [0, 3, 5, 1 << 40] {
        let mut pack = Pack::new();
        pack.push(BLOB, size, None, &stored(b"four"));
        let made = pack.bundle(&head(&base.commit));
        let error = take_in(&source, &base, &made).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Export, "{size}: {error}");
    }
    for kind in [0, 5] {
        let mut pack = Pack::new();
        pack.push(kind, 4, None, &stored(b"four"));
        let made = pack.bundle(&head(&base.commit));
        take_in(&source, &base, &made).await.unwrap_err();
    }
}

/// The work is a commit, and nothing that leads to one.
#[tokio::test]
async fn a_tag_is_no_work() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "work");
    git(&sandbox, &["tag", "-a", "-m", "tag", "work", "HEAD"]);
    let range = format!("{}..refs/tags/work", base.commit);
    let made = git(&sandbox, &["bundle", "create", "-q", "-", &range]);
    let error = take_in(&source, &base, &made).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Export, "{error}");
    assert!(error.message.contains("not a commit"), "{error}");
}

/// What it calls its references is not used for anything.
#[tokio::test]
async fn names_of_references_lead_nowhere() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "work");
    let made = bundle(&sandbox, &base.commit);
    let tip = text(&sandbox, &["rev-parse", "HEAD"]);
    let end = made.windows(2).position(|pair| pair == b"\n\n").unwrap();
    for name in [
        "../../../../outside/secret",
        "refs/heads/main",
        "HEAD",
        "--upload-pack=canary",
        "ext::canary",
        "",
    ] {
        let head = format!("# v2 git bundle\n{tip} {name}\n");
        let renamed = [head.as_bytes(), &made[end + 1..]].concat();
        let work = take_in(&source, &base, &renamed).await.unwrap();
        assert_eq!(work.changed.len(), 1, "{name}");
        trap.assert_work_untouched(&work);
    }
    let remote = text(&trap.lab.bare(), &["rev-parse", "main"]);
    assert_eq!(remote, base.commit);
}

/// History that has nothing to do with the repository comes in as files only, and is not pushed.
#[tokio::test]
async fn foreign_history_does_not_come_along() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    git(&sandbox, &["checkout", "-q", "--orphan", "foreign"]);
    for number in 0..20 {
        std::fs::write(sandbox.join("foreign"), number.to_string()).unwrap();
        commit(&sandbox, "foreign");
    }
    let made = git(
        &sandbox,
        &["bundle", "create", "-q", "-", "refs/heads/foreign"],
    );
    let work = take_in(&source, &base, &made).await.unwrap();
    assert_eq!(work.changed.len(), 1);
    let run = crate::lab::run();
    let push = pullwright_core::source::Push {
        run: &run,
        base: &base,
        work: &work,
        moved: None,
        to: None,
        branch: "pullwright/foreign",
        grows: false,
        begun_at: &[],
        message: "Change",
        credential: None,
    };
    pullwright_core::source::Source::push(&source, push)
        .await
        .unwrap();
    let log = text(
        &trap.lab.bare(),
        &["log", "--format=%s", "pullwright/foreign"],
    );
    assert_eq!(log, "Change\ntwo\none");
}

/// A header that never comes to its end.
#[tokio::test]
async fn a_header_without_end_is_left() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let line = format!("-{} missing\n", "a".repeat(40));
    let made = format!("# v2 git bundle\n{}", line.repeat(100_000));
    let error = take_in(&source, &base, made.as_bytes()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Export, "{error}");
    assert!(error.message.contains("header does not end"), "{error}");
}
