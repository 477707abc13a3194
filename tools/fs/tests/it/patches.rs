//! Runs every folder of `tests/patches`, and of `PULLWRIGHT_PATCH_SCENARIOS` where that is set. A new
//! case is a new folder: `input/`, the files to start with, if any; `patch.txt`; `expected/`, the
//! files at the end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use pullwright_tool_kit::Call;
use serde_json::{Value, json};

use crate::tree;

const VARIABLE: &str = "PULLWRIGHT_PATCH_SCENARIOS";

fn scenarios() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patches");
    let given = std::env::var_os(VARIABLE).map(PathBuf::from);
    let mut scenarios = Vec::new();
    for folder in [Some(own), given].into_iter().flatten() {
        let entries = fs::read_dir(&folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let before = scenarios.len();
        scenarios.extend(paths.filter(|path| path.join("patch.txt").is_file()));
        assert!(
            scenarios.len() > before,
            "no scenario is in {}",
            folder.display()
        );
    }
    scenarios.sort();
    scenarios
}

/// The files at the end, what was said, and whether it was refused.
async fn patched(input: &Path, patch: &str) -> (BTreeMap<PathBuf, Vec<u8>>, String, bool) {
    let root = tempfile::tempdir().unwrap();
    tree::copy(input, root.path());
    let server = pullwright_fs::server(root.path().to_owned());
    let Value::Object(arguments) = json!({ "input": patch }) else {
        panic!("arguments are an object")
    };
    let answer = server
        .call("apply_patch", arguments, Call::detached())
        .await;
    let is_error = answer.is_err();
    let said = match answer {
        Ok(output) => format!("{output:?}"),
        Err(refusal) => refusal.0,
    };
    (tree::files(root.path()), said, is_error)
}

#[tokio::test]
async fn every_scenario() {
    for scenario in scenarios() {
        let name = scenario.display().to_string();
        let patch = fs::read_to_string(scenario.join("patch.txt")).unwrap();
        let (files, said, _) = patched(&scenario.join("input"), &patch).await;
        let expected = tree::files(&scenario.join("expected"));
        assert_eq!(files, expected, "{name}: {said}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_to_mend() {
    let cases = [
        ("", "must begin with `*** Begin Patch`"),
        ("*** Begin Patch\n*** End Patch", "changes no file"),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-one\n+two",
            "last line of the patch must be",
        ),
        (
            "*** Begin Patch\n*** Frobnicate: a\n*** End Patch",
            "line 2 of the patch: `*** Frobnicate: a` is none of",
        ),
        (
            "*** Begin Patch\n*** Add File: b\none\n*** End Patch",
            "line 3 of the patch: every line of a new file",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n?one\n*** End Patch",
            "line 4 of the patch: `?one` begins with",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n*** End Patch",
            "the update of `a` changes nothing",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@\n-four\n+5\n*** End Patch",
            "cannot be found in `a`; read it again and copy the lines exactly:\nfour\nNothing was changed.",
        ),
        (
            "*** Begin Patch\n*** Update File: a\n@@ nowhere\n-one\n+5\n*** End Patch",
            "the line after `@@` cannot be found",
        ),
        (
            "*** Begin Patch\n*** Update File: b\n@@\n-one\n+5\n*** End Patch",
            "`b`",
        ),
        (
            "*** Begin Patch\n*** Add File: ../b\n+one\n*** End Patch",
            "../b",
        ),
        (
            "*** Begin Patch\n*** Add File: .git/config\n+one\n*** End Patch",
            ".git",
        ),
        (
            "*** Begin Patch\n*** Delete File: a\n*** Delete File: b\n*** End Patch",
            "leave them out of the next:\ndeleted `a`",
        ),
    ];
    let input = tempfile::tempdir().unwrap();
    fs::write(input.path().join("a"), "one\ntwo\nthree\n").unwrap();
    for (patch, expected) in cases {
        let (_, said, is_error) = patched(input.path(), patch).await;
        assert!(is_error && said.contains(expected), "{patch}\n{said}");
    }
}

#[tokio::test]
async fn a_match_that_is_not_exact_is_told() {
    let input = tempfile::tempdir().unwrap();
    fs::write(input.path().join("a"), "  one  \nit’s\n").unwrap();
    let cases = [
        ("  one", "white space at the ends of lines"),
        ("one", "white space around lines"),
        ("it's", "punctuation"),
    ];
    for (old, expected) in cases {
        let patch = format!("*** Begin Patch\n*** Update File: a\n@@\n-{old}\n+new\n*** End Patch");
        let (_, said, is_error) = patched(input.path(), &patch).await;
        assert!(!is_error && said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_moved_file_keeps_its_mode() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run.sh");
    fs::write(&path, "true\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    let server = pullwright_fs::server(root.path().to_owned());
    let patch = "*** Begin Patch\n*** Update File: run.sh\n*** Move to: bin/run.sh\n@@\n-true\n+false\n*** End Patch";
    let Value::Object(arguments) = json!({ "input": patch }) else {
        panic!("arguments are an object")
    };
    server
        .call("apply_patch", arguments, Call::detached())
        .await
        .unwrap();
    let moved = fs::metadata(root.path().join("bin/run.sh")).unwrap();
    assert_eq!(moved.permissions().mode() & 0o777, 0o750);
    assert!(!path.exists());
}

proptest! {
    /// Whatever a patch says, it is applied or refused, and no line that it does not name changes.
    #[test]
    fn a_patch_made_from_two_texts_makes_one_of_the_other(
        old in proptest::collection::vec("[ab]{0,2}", 1..12),
        new in proptest::collection::vec("[abc]{1,2}", 1..12),
        from in 0_usize..12,
    ) {
        let from = from.min(old.len() - 1);
        let lines = |sign: &str, lines: &[String]| -> String {
            lines.iter().map(|line| format!("{sign}{line}\n")).collect()
        };
        let patch = format!(
            "*** Begin Patch\n*** Update File: a\n@@\n{}{}{}*** End of File\n*** End Patch",
            lines(" ", &old[..from]), lines("-", &old[from..]), lines("+", &new),
        );
        let input = tempfile::tempdir().unwrap();
        fs::write(input.path().join("a"), lines("", &old)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (files, said, _) = runtime.block_on(patched(input.path(), &patch));
        let expected = lines("", &old[..from]) + &lines("", &new);
        prop_assert_eq!(String::from_utf8(files[Path::new("a")].clone()).unwrap(), expected, "{}", said);
    }

    /// No text makes it panic.
    #[test]
    fn any_text_is_survived(text in "([*@ +-]|\\*\\*\\* (Begin|End) Patch|\\*\\*\\* (Update|Add|Delete) File: a|\\*\\*\\* End of File|ü|\n){0,30}") {
        let input = tempfile::tempdir().unwrap();
        fs::write(input.path().join("a"), "+\n-\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for patch in [text.clone(), format!("*** Begin Patch\n{text}\n*** End Patch")] {
            runtime.block_on(patched(input.path(), &patch));
        }
    }
}
