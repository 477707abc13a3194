//! Names that are odd and allowed: they come through as they are, and are told harmlessly.

use pullwright_core::source::{CheckoutFiles, Source};

use super::plant::{self, blob, folder};
use super::trap::Trap;
use crate::lab::{bundle_tree, fetch, git, take_in, text};

/// Bytes that a terminal obeys, a line takes for its end, and no text holds.
const ODD: &[&[u8]] = &[
    b"two\nlines",
    b"\x1b[31mred",
    b"\xff\xfe",
    b"-rf",
    b"--upload-pack=x",
    b"quote\"back\\slash",
    b"tab\tand\rreturn",
    b"$(canary)`canary`;canary",
    b" ",
];

#[tokio::test]
async fn odd_names_come_in_and_go_out() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let files = ODD.iter().map(|name| blob(&bare, "100644", *name, b"x\n"));
    let tree = plant::tree(&bare, files.collect());
    let commit = plant::commit(&bare, &tree, &text(&bare, &["rev-parse", "main"]));
    git(&bare, &["update-ref", "refs/heads/main", &commit]);
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    assert_eq!(text(&sandbox, &["status", "--porcelain"]), "");
    let files = ODD
        .iter()
        .map(|name| blob(&sandbox, "100644", *name, b"changed\n"));
    let inner = vec![blob(&sandbox, "100644", *b"\x1b]0;title\x07", b"x\n")];
    let mut entries: Vec<_> = files.collect();
    entries.push(folder(&sandbox, *b"new\nfolder", inner));
    let tree = plant::tree(&sandbox, entries);
    let made = bundle_tree(&sandbox, &base.commit, &tree);
    let work = take_in(&source, &base, &made).await.unwrap();
    assert_eq!(work.changed.len(), ODD.len() + 1);
    assert_eq!(work.tree, tree);
    assert_eq!(work.refusals, Vec::<String>::new());
    let patch = String::from_utf8_lossy(&work.patch);
    assert!(!patch.contains('\x1b'), "git quotes what moves a cursor");
    let clean = trap.lab.path("clean");
    let checked = source.checkout(&base, Some(&work), CheckoutFiles::Written, &clean);
    checked.await.unwrap();
    git(&clean, &["add", "-A"]);
    assert_eq!(text(&clean, &["write-tree"]), tree);
    // And the patch makes the same again.
    let url = trap.lab.bare();
    let again = fetch(&source, url.to_str().unwrap(), None, None)
        .await
        .unwrap();
    let restored = source
        .restore(&crate::lab::run(), &again, None, &work.patch)
        .await;
    assert_eq!(restored.unwrap().tree, tree);
    trap.assert_work_untouched(&work);
}

#[tokio::test]
async fn a_refusal_shows_an_odd_name_escaped() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    let name = *b"\x1b[2Jline\nend";
    let entries = vec![blob(&sandbox, "120000", name, b"/etc/passwd")];
    let tree = plant::tree(&sandbox, entries);
    let made = bundle_tree(&sandbox, &base.commit, &tree);
    let work = take_in(&source, &base, &made).await.unwrap();
    let refusal = work.refusals.first().unwrap();
    assert!(refusal.contains("leads out of the repository"), "{refusal}");
    assert!(!refusal.chars().any(char::is_control), "{refusal:?}");
}

/// What a file system without case takes for one file is another one here.
#[tokio::test]
async fn names_that_differ_in_case_stay_two() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let sandbox = trap.lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("readme.MD"), "another\n").unwrap();
    crate::lab::commit(&sandbox, "work");
    let made = crate::lab::bundle(&sandbox, &base.commit);
    let work = take_in(&source, &base, &made).await.unwrap();
    assert_eq!(work.changed[0].path, "readme.MD");
    assert_eq!(work.changed.len(), 1);
}
