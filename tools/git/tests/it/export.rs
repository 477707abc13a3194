//! Honest work comes out as git itself would commit it.

use std::fs;
use std::os::unix::fs::symlink;

use pullwright_git::{ExportLimits, ExportOptions, WorkspaceError};

use crate::repository::{Fixture, chmod};

#[test]
fn an_unchanged_workspace_writes_nothing() {
    let fixture = Fixture::new(&[("a.txt", "a\n"), ("src/b.rs", "b\n")]);
    let summary = fixture.export_and_fetch();
    assert_eq!((summary.commit, summary.objects), (None, 0));
}

#[test]
fn edits_new_files_deletions_modes_and_links_come_out() {
    let fixture = Fixture::new(&[
        ("a.txt", "a\n"),
        ("src/b.rs", "b\n"),
        ("src/c.rs", "c\n"),
        ("run.sh", "#!/bin/sh\n"),
    ]);
    fixture.write("a.txt", "changed\r\nmixed\n");
    fixture.write("deep/er/new.txt", "no line end");
    fixture.write("häuser.txt", "ü\n");
    fs::remove_file(fixture.root().join("src/c.rs")).unwrap();
    chmod(&fixture.root().join("run.sh"), 0o755);
    symlink("../a.txt", fixture.root().join("src/link")).unwrap();
    symlink("nowhere", fixture.root().join("dangling")).unwrap();
    fs::create_dir(fixture.root().join("empty")).unwrap();
    let summary = fixture.export_and_fetch();
    assert_eq!(summary.tree, fixture.tree_by_git());
    assert_eq!(summary.left_out, []);
    let listing = fixture.listing();
    for line in [
        "100755 run.sh",
        "120000 src/link",
        "120000 dangling",
        "100644 deep/er/new.txt",
    ] {
        assert!(
            listing.iter().any(|entry| entry == line),
            "{line} is missing in {listing:?}"
        );
    }
}

/// An edit that was killed must not leave its half in the change.
#[test]
fn what_is_half_written_stays() {
    let fixture = Fixture::new(&[("a.txt", "a\n"), ("src/.pullwright-1-2.tmp", "tracked\n")]);
    fixture.write(".pullwright-4711-0.tmp", "half");
    fixture.write("src/.pullwright-1-2.tmp", "changed\n");
    fixture.write("src/.pullwright-notes.tmp", "mine\n");
    fixture.export_and_fetch();
    let listing = fixture.listing();
    assert_eq!(
        listing,
        [
            "100644 a.txt",
            "100644 src/.pullwright-1-2.tmp",
            "100644 src/.pullwright-notes.tmp",
        ]
    );
}

#[test]
fn files_and_folders_may_swap() {
    let fixture = Fixture::new(&[
        ("one", "file\n"),
        ("two/x", "x\n"),
        ("two.txt", "t\n"),
        ("three", "f\n"),
    ]);
    fs::remove_file(fixture.root().join("one")).unwrap();
    fixture.write("one/inside", "now a folder\n");
    fs::remove_dir_all(fixture.root().join("two")).unwrap();
    fixture.write("two", "now a file\n");
    fs::remove_file(fixture.root().join("three")).unwrap();
    symlink("two", fixture.root().join("three")).unwrap();
    assert_eq!(fixture.export_and_fetch().tree, fixture.tree_by_git());
}

#[test]
fn everything_deleted_is_the_empty_tree() {
    let fixture = Fixture::new(&[("a", "a"), ("b/c", "c")]);
    fs::remove_file(fixture.root().join("a")).unwrap();
    fs::remove_dir_all(fixture.root().join("b")).unwrap();
    assert_eq!(fixture.export_and_fetch().tree, fixture.tree_by_git());
}

#[test]
fn ignored_files_stay_out_unless_the_base_has_them() {
    let fixture = Fixture::build(|root| {
        crate::repository::write(root, "build/kept.txt", "tracked\n");
        crate::repository::write(root, "keys.log", "tracked\n");
        crate::repository::git(root, &["add", "--all"]);
        crate::repository::write(root, ".gitignore", "build/\n*.log\n!keep.log\n/local\n");
        crate::repository::write(root, "sub/.gitignore", "*\n!.gitignore\n!yes\n");
    });
    fixture.write("build/kept.txt", "edited\n");
    fixture.write("build/new.o", "no\n");
    fixture.write("keys.log", "edited\n");
    fixture.write("keep.log", "yes\n");
    fixture.write("sub/no", "no\n");
    fixture.write("sub/yes", "yes\n");
    fixture.write("sub/local", "no\n");
    fixture.write("mine", "no\n");
    fixture.write(".git/info/exclude", "mine\n");
    let summary = fixture.export_and_fetch();
    assert_eq!(summary.tree, fixture.tree_by_git());
    assert!(fixture.listing().contains(&"100644 sub/yes".to_owned()));
    assert!(!fixture.listing().contains(&"100644 build/new.o".to_owned()));
}

#[test]
fn commits_of_the_agent_do_not_matter_and_nothing_of_the_repository_changes() {
    let fixture = Fixture::new(&[("a", "a\n"), ("b", "b\n")]);
    fixture.write("c", "committed\n");
    fixture.git(&["add", "c"]);
    fixture.git(&["commit", "--quiet", "--message=mine"]);
    fixture.write("d", "staged\n");
    fixture.git(&["add", "d"]);
    fixture.write("e", "untracked\n");
    let state = || {
        let index = fs::read(fixture.root().join(".git/index")).unwrap();
        (
            index,
            fixture.git(&["for-each-ref"]),
            fixture.git(&["count-objects", "-v"]),
        )
    };
    let before = state();
    let summary = fixture.export_and_fetch();
    assert!(state() == before, "the export changed the repository");
    assert_eq!(summary.tree, fixture.tree_by_git());
    assert_eq!(summary.objects, 5, "three blobs, one tree, one commit");
}

#[test]
fn only_what_the_base_lacks_is_in_the_pack() {
    let fixture = Fixture::new(&[("a/x", "same\n"), ("b/y", "y\n")]);
    fixture.write("c/x", "same\n");
    let summary = fixture.export_and_fetch();
    assert_eq!(
        summary.objects, 2,
        "the new root tree and the commit; blob and folder are the base's"
    );
}

#[test]
fn the_same_work_gives_the_same_bundle() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("b", "b\n");
    assert!(fixture.export().unwrap() == fixture.export().unwrap());
}

#[test]
fn a_file_above_the_cap_is_left_out_and_named() {
    let fixture = Fixture::new(&[
        ("tracked", "small\n"),
        ("big", "0123456789012345678901234567890\n"),
    ]);
    fixture.write("tracked", &"x".repeat(21));
    fixture.write("new", &"y".repeat(21));
    fixture.write("fits", &"z".repeat(20));
    let limits = ExportLimits {
        max_file_bytes: 20,
        ..ExportLimits::default()
    };
    let options = ExportOptions {
        limits,
        ..ExportOptions::default()
    };
    let (summary, _) = fixture.export_with(&options).unwrap();
    let paths: Vec<_> = summary
        .left_out
        .iter()
        .map(|left| left.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["new", "tracked"],
        "an unchanged large file is not left out"
    );
    assert_eq!(
        summary.left_out[0].reason,
        "it has 21 bytes, the limit is 20"
    );
}

/// Reading it would take hours: the test would not end.
#[test]
fn a_file_with_holes_of_any_size_costs_nothing() {
    let fixture = Fixture::new(&[("tracked", "small\n")]);
    fixture.write("beside", "work\n");
    for path in ["tracked", "new"] {
        let file = fs::File::create(fixture.root().join(path)).unwrap();
        file.set_len(1 << 42).unwrap();
    }
    let (summary, _) = fixture.export_with(&ExportOptions::default()).unwrap();
    let paths: Vec<_> = summary
        .left_out
        .iter()
        .map(|left| left.path.as_str())
        .collect();
    assert_eq!(paths, ["new", "tracked"]);
    assert!(summary.commit.is_some(), "the work beside it is exported");
}

#[test]
fn too_much_in_all_is_an_error_and_writes_nothing() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("b", &"b".repeat(400));
    fixture.write("c", &"c".repeat(400));
    let mut options = ExportOptions::default();
    options.limits.max_total_bytes = 500;
    assert!(matches!(
        fixture.export_with(&options),
        Err(WorkspaceError::TooLarge { limit: 500, .. })
    ));
    options = ExportOptions::default();
    options.limits.max_entries = 2;
    assert!(matches!(
        fixture.export_with(&options),
        Err(WorkspaceError::TooManyFiles { limit: 2, .. })
    ));
}

#[test]
fn a_writer_that_fails_is_an_error() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("b", "b\n");
    let mut full: &mut [u8] = &mut [0; 60];
    let result = pullwright_git::export(
        &fixture.root(),
        &fixture.base,
        &ExportOptions::default(),
        &mut full,
    );
    assert!(
        result
            .unwrap_err()
            .to_string()
            .starts_with("cannot write the bundle")
    );
}

#[test]
fn five_thousand_files_are_quick() {
    let fixture = Fixture::build(|root| {
        for file in 0..5_000 {
            crate::repository::write(
                root,
                &format!("d{}/f{file}", file / 50),
                &format!("{file}\n").repeat(2_000),
            );
        }
    });
    fixture.write("d1/f51", "changed\n");
    let start = std::time::Instant::now();
    let (summary, _) = fixture.export().unwrap();
    let elapsed = start.elapsed();
    assert_eq!(summary.objects, 4);
    // Unoptimised, on a busy machine; a release build takes a fraction.
    assert!(elapsed.as_secs() < 20, "{elapsed:?}");
}
