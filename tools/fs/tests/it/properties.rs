//! What holds for any file and any edit.

use std::fs;

use proptest::prelude::*;
use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{Output, Refusal};
use serde_json::{Value, json};

use crate::{parallel, tree};

/// Lines of few letters, so that matches happen, with every kind of line end and bytes that are no
/// UTF-8.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"a"[..],
        b"b",
        b"ab",
        b" ",
        b"\t",
        b"\n",
        b"\r\n",
        b"\r",
        b"\xff",
        b"\0",
        "é".as_bytes(),
        b"\xef\xbb\xbf",
        b"&lt;",
        b"\\n",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "b", "ab", " ", "\n", "\r\n", "é", "&lt;", "\\n"]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn call(root: &std::path::Path, tool: &str, arguments: Value) -> Result<Output, Refusal> {
    let server = pullwright_fs::server(root.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(parallel::call(&server, tool, arguments))
}

fn text_of(output: &Output) -> &str {
    match &output.parts[0] {
        Part::Text { text } => text,
        part => panic!("{part:?}"),
    }
}

/// Whether `changed` is `file` with exactly one `old` replaced by `new`.
fn is_one_replacement(file: &[u8], changed: &[u8], old: &[u8], new: &[u8]) -> bool {
    let starts = 0..=file.len().saturating_sub(old.len());
    let mut at = starts.filter(|at| file[*at..].starts_with(old));
    at.any(|at| [&file[..at], new, &file[at + old.len()..]].concat() == changed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edit_changes_its_match_and_a_refusal_nothing(
        file in file(), old in text(), new in text(),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        fs::write(&path, &file).unwrap();
        let before = tree::snapshot(temp.path());
        let edit = json!({"path": "f", "old_str": old, "new_str": new});
        let answer = call(temp.path(), "edit", edit);
        let changed = fs::read(&path).unwrap();
        if let Err(refusal) = answer {
            prop_assert!(!refusal.0.contains("broke off"), "{}", refusal);
            prop_assert_eq!(before, tree::snapshot(temp.path()));
        } else {
            let as_crlf = |text: &str| text.replace('\n', "\r\n").into_bytes();
            prop_assert!(
                is_one_replacement(&file, &changed, old.as_bytes(), new.as_bytes())
                    || is_one_replacement(&file, &changed, &as_crlf(&old), &as_crlf(&new))
            );
            prop_assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_unique_text_is_always_edited(
        before in file(), after in file(), new in "[a-z]{0,9}",
    ) {
        let [before, after] = [before, after].map(|mut bytes| {
            bytes.retain(|byte| *byte != 0);
            bytes
        });
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        fs::write(&path, [&before[..], b"(unique)", &after].concat()).unwrap();
        let edit = json!({"path": "f", "old_str": "(unique)", "new_str": new});
        call(temp.path(), "edit", edit).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), [&before[..], new.as_bytes(), &after].concat());
    }

    #[test]
    fn replace_all_replaces_every_match(file in "[ab\n]{0,40}", old in "[ab]{1,2}", new in "[abc]{0,3}") {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        fs::write(&path, &file).unwrap();
        let edit = json!({"path": "f", "old_str": old, "new_str": new, "replace_all": true});
        let answer = call(temp.path(), "edit", edit);
        prop_assert_eq!(answer.is_ok(), file.contains(&old) && old != new);
        let expected = file.replace(&old, &new);
        prop_assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn the_pages_of_read_are_the_file(
        lines in prop::collection::vec("[a-zé ]{0,12}", 1..40), limit in 1_u64..9,
    ) {
        let temp = tempfile::tempdir().unwrap();
        let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(temp.path().join("f"), &content).unwrap();
        let (mut offset, mut seen) = (1, String::new());
        loop {
            let page = json!({"path": "f", "offset": offset, "limit": limit});
            let output = call(temp.path(), "read", page).unwrap();
            let mut next = None;
            for line in text_of(&output).lines() {
                match line.split_once('\t') {
                    Some((_, text)) => seen.push_str(&format!("{text}\n")),
                    None => next = line.rsplit_once("offset: ").map(|(_, next)| next),
                }
            }
            let Some(next) = next else { break };
            offset = next.trim_end_matches(']').parse::<u64>().unwrap();
        }
        prop_assert_eq!(seen, content);
    }

    #[test]
    fn what_is_written_is_the_content(content in text()) {
        let temp = tempfile::tempdir().unwrap();
        for path in ["f", "new/folder/f"] {
            let write = json!({"path": path, "content": content});
            call(temp.path(), "write", write).unwrap();
            prop_assert_eq!(fs::read(temp.path().join(path)).unwrap(), content.as_bytes());
        }
    }

    #[test]
    fn no_path_leads_out(parts in prop::collection::vec(
        prop::sample::select(vec!["..", ".", "in", "out", "up", "secret", "abs", ""]), 1..8,
    )) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("workspace");
        fs::create_dir_all(root.join("in/in")).unwrap();
        fs::create_dir(temp.path().join("secret")).unwrap();
        for (link, target) in [("out", "../secret"), ("in/up", ".."), ("in/out", "../../secret"), ("abs", "/")] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        fs::write(temp.path().join("secret/secret"), "outside").unwrap();
        let path = parts.join("/");
        let read = call(temp.path().join("workspace").as_path(), "read", json!({"path": path}));
        prop_assert!(read.is_err(), "there is no file inside: {:?}", read);
        let _ = call(&root, "write", json!({"path": path, "content": "inside"}));
        let secret = tree::snapshot(&temp.path().join("secret"));
        prop_assert_eq!(secret.len(), 1);
        prop_assert_eq!(fs::read(temp.path().join("secret/secret")).unwrap(), b"outside");
    }
}
