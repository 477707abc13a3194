//! The tools on repositories that no scenario's files can describe.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pullwright_git::server;
use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{Call, Refusal};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::repository::Fixture;

fn call(root: PathBuf, tool: &str, arguments: Value) -> Result<String, Refusal> {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let output = runtime.block_on(server(root).call(tool, arguments, Call::detached()))?;
    match output.parts.as_slice() {
        [Part::Text { text }] => Ok(text.clone()),
        other => panic!("one text expected, not {other:?}"),
    }
}

/// A tool and its arguments.
type Reading = (&'static str, fn() -> Value);

const READING: [Reading; 5] = [
    ("status", || json!({})),
    ("diff", || json!({})),
    ("diff", || json!({"staged": true})),
    ("log", || json!({"path": "a"})),
    ("show", || json!({"object": "HEAD"})),
];

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, files),
            false => files.push(path),
        }
    }
}

#[test]
fn a_repository_damaged_anywhere_is_answered_not_a_crash() {
    let fixture = Fixture::new(&[("a", "a\n"), ("d/b", "b\n")]);
    fixture.write("a", "changed\n");
    let mut files = Vec::new();
    files_below(&fixture.root().join(".git"), &mut files);
    files.retain(|file| !file.components().any(|part| part.as_os_str() == "hooks"));
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let intact = fs::read(&file).unwrap();
        // An object cut off in the middle keeps the library busy until the time is up, which is
        // tested at the deadline itself.
        let is_object = file.components().any(|part| part.as_os_str() == "objects");
        let half = if is_object { 0 } else { intact.len() / 2 };
        let garbage: [&[u8]; 3] = [b"", b"\xff\x00garbage", &intact[..half]];
        for content in garbage {
            fs::remove_file(&file).unwrap();
            fs::write(&file, content).unwrap();
            for (tool, arguments) in READING {
                if let Err(refusal) = call(fixture.root(), tool, arguments()) {
                    assert!(
                        !refusal.0.contains("no answer"),
                        "{tool} on {}: {refusal}",
                        file.display()
                    );
                }
            }
        }
        fs::remove_file(&file).unwrap();
        fs::write(&file, intact).unwrap();
    }
    assert!(
        call(fixture.root(), "status", json!({}))
            .unwrap()
            .contains("modified   a")
    );
}

#[test]
fn reading_tools_change_nothing() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("a", "changed\n");
    fixture.write("new", "x\n");
    let state = || {
        let mut files = Vec::new();
        files_below(&fixture.root(), &mut files);
        files.sort();
        files
            .into_iter()
            .map(|file| (fs::read(&file).unwrap(), file))
            .collect::<Vec<_>>()
    };
    let before = state();
    for (tool, arguments) in READING {
        call(fixture.root(), tool, arguments()).unwrap();
    }
    assert!(before == state());
}

#[test]
fn pipes_and_names_of_any_bytes_are_shown_and_committed() {
    let fixture = Fixture::new(&[("a", "a\n"), ("b", "b\n")]);
    let root = fixture.root();
    let pipe = |name: &str| {
        mknodat(
            CWD,
            root.join(name),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap()
    };
    pipe("pipe");
    fs::remove_file(root.join("b")).unwrap();
    pipe("b");
    fs::write(root.join(OsStr::from_bytes(b"\xff\n")), "x\n").unwrap();
    let status = call(fixture.root(), "status", json!({})).unwrap();
    assert!(status.contains(r#""\377\n""#), "{status}");
    assert!(status.contains("deleted    b"), "{status}");
    let diff = call(fixture.root(), "diff", json!({})).unwrap();
    assert!(diff.contains("+x\n"), "{diff}");
    let commit = call(fixture.root(), "commit", json!({"message": "m"})).unwrap();
    assert!(
        commit.contains("left out pipe: it is neither a file"),
        "{commit}"
    );
    assert_eq!(
        fixture.git(&["ls-tree", "--name-only", "HEAD"]),
        "a\n\"\\377\\n\""
    );
    assert_eq!(fixture.git(&["fsck", "--strict"]), "");
}

#[test]
fn a_commit_leaves_what_was_staged_elsewhere_staged() {
    let fixture = Fixture::new(&[("a", "a\n"), ("b", "b\n")]);
    fixture.write("a", "A\n");
    fixture.write("b", "B\n");
    fixture.git(&["add", "b"]);
    call(
        fixture.root(),
        "commit",
        json!({"message": "only a", "paths": ["a"]}),
    )
    .unwrap();
    assert_eq!(fixture.git(&["status", "--porcelain"]), "M  b");
    assert_eq!(
        fixture.git(&["show", "--name-only", "--format=%s"]),
        "only a\n\na"
    );
}

#[test]
fn a_long_diff_is_cut_with_a_hint() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("a", &"line\n".repeat(100_000));
    let diff = call(fixture.root(), "diff", json!({})).unwrap();
    assert!(diff.len() < 31_000, "{}", diff.len());
    assert!(diff.contains("Narrow it with `paths`, or ask for `stat` first."));
}

/// A run's repository may lack the history before its base, or what files held in it.
#[test]
fn what_a_repository_lacks_is_said() {
    let fixture = Fixture::new(&[("a", "one\n")]);
    let root = fixture.root();
    fixture.write("a", "two\n");
    let message = json!({"message": "second"});
    call(root.clone(), "commit", message).unwrap();
    let log = call(root.clone(), "log", json!({})).unwrap();
    assert!(!log.contains("earlier commits"), "{log}");
    let head = fs::read_to_string(root.join(".git/refs/heads/main")).unwrap();
    fs::write(root.join(".git/shallow"), &head).unwrap();
    let log = call(root.clone(), "log", json!({})).unwrap();
    assert!(log.contains("second") && !log.contains("base"), "{log}");
    assert!(
        log.ends_with("[earlier commits are not in this repository]\n"),
        "{log}"
    );
    fs::remove_file(root.join(".git/shallow")).unwrap();
    // What `git hash-object` says of the first content.
    let object = "5626abf0f72e58d7a153368ba57db4c673c0e171";
    let (folder, name) = object.split_at(2);
    let object = root.join(".git/objects").join(folder).join(name);
    fs::remove_file(object).unwrap();
    let refusal = call(root, "show", json!({"object": "HEAD"})).unwrap_err();
    assert!(
        refusal.0.contains("what files held in earlier commits"),
        "{refusal}"
    );
}
