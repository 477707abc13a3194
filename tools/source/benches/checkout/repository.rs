//! A repository that nobody wrote: many files with a history.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How large it is, and how often it is checked out.
pub(crate) struct Scale {
    pub(crate) files: usize,
    pub(crate) commits: usize,
    pub(crate) rounds: usize,
}

const FOLDERS: usize = 25;
const SUBFOLDERS: usize = 10;
/// How many files a commit changes.
const CHANGED_PER_COMMIT: usize = 12;
/// The words of a file: some kilobytes, as source code has.
const WORDS: u64 = 1400;

/// Makes the bare repository, packed as a server keeps it.
pub(crate) fn make(path: &Path, scale: &Scale) {
    std::fs::create_dir_all(path).unwrap();
    git(
        path,
        &["init", "--quiet", "--bare", "--initial-branch=main"],
    );
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = std::io::BufWriter::new(import.stdin.take().unwrap());
    for number in 0..scale.commits {
        write_commit(&mut stream, scale, number);
    }
    drop(stream);
    assert!(import.wait().unwrap().success());
    git(path, &["repack", "-a", "-d", "--quiet"]);
}

/// How many files there are below a folder, what git keeps aside.
pub(crate) fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let counts = entries.map(|entry| match entry.file_type().unwrap() {
        _ if entry.file_name() == ".git" => 0,
        kind if kind.is_dir() => count(&entry.path()),
        _ => 1,
    });
    counts.sum()
}

/// Runs git in a folder.
pub(crate) fn git(folder: &Path, args: &[&str]) {
    let status = Command::new("git").current_dir(folder).args(args).status();
    assert!(status.unwrap().success(), "git {args:?}");
}

fn write_commit(stream: &mut impl Write, scale: &Scale, number: usize) {
    let time = 1_700_000_000 + number;
    let head =
        format!("commit refs/heads/main\ncommitter A <a@example.com> {time} +0000\ndata 1\nc\n");
    stream.write_all(head.as_bytes()).unwrap();
    let changed = match number {
        0 => 0..scale.files,
        _ => 0..CHANGED_PER_COMMIT.min(scale.files),
    };
    for file in changed {
        // Each commit changes others, far apart.
        let file = match number {
            0 => file,
            _ => (number * 7919 + file * 611) % scale.files,
        };
        let text = text((number * scale.files + file) as u64);
        let (folder, inner) = (file % FOLDERS, file / FOLDERS % SUBFOLDERS);
        let head = format!(
            "M 100644 inline d{folder}/s{inner}/f{file}.rs\ndata {}\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
    }
}

/// Lines of words that come again and again, as those of code do, in an order of their own.
fn text(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for number in 0..WORDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state % 3000;
        let end = if number % 9 == 8 { '\n' } else { ' ' };
        let _ = write!(text, "w{:x}{end}", word.wrapping_mul(0x2545_f491));
    }
    text.push('\n');
    text
}
