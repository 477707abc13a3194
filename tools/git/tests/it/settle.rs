//! After setup, the workspace is as the base and leftovers do not count.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use pullwright_git::{SettleSummary, WorkspaceError, settle};

use crate::repository::{Fixture, chmod};

#[test]
fn a_clean_workspace_stays_as_it_is() {
    let fixture = Fixture::new(&[("a", "a\n"), (".gitignore", "out/\n")]);
    fixture.write("out/x", "ignored\n");
    let exclude = fs::read(fixture.root().join(".git/info/exclude")).unwrap();
    assert_eq!(
        settle(&fixture.root(), &fixture.base).unwrap(),
        SettleSummary::default()
    );
    assert_eq!(
        fs::read(fixture.root().join(".git/info/exclude")).unwrap(),
        exclude
    );
}

#[test]
fn a_tree_is_settled_to_like_a_commit() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("new", "work\n");
    fixture.git(&["add", "--all"]);
    let work = fixture.git(&["write-tree"]);
    fixture.git(&["reset", "--quiet"]);
    fixture.write("a", "changed by a check\n");
    fixture.write("leftover", "of a check\n");
    let summary = settle(&fixture.root(), work.trim()).unwrap();
    assert_eq!(summary.restored, ["a"]);
    assert_eq!(summary.excluded, ["leftover"]);
    assert_eq!(fs::read(fixture.root().join("new")).unwrap(), b"work\n");
}

#[test]
fn changed_removed_and_replaced_files_come_back() {
    let fixture = Fixture::build(|root| {
        for path in [
            "changed", "gone", "mode", "f_to_d", "d/x", "d/y", "e/deep/z", "crlf",
        ] {
            crate::repository::write(root, path, "one\r\ntwo\n");
        }
        symlink("changed", root.join("link")).unwrap();
        symlink("changed", root.join("link2")).unwrap();
    });
    let root = fixture.root();
    fixture.write("changed", "other\n");
    fs::remove_file(root.join("gone")).unwrap();
    chmod(&root.join("mode"), 0o755);
    fs::remove_file(root.join("f_to_d")).unwrap();
    fixture.write("f_to_d/x", "x\n");
    fs::remove_dir_all(root.join("d")).unwrap();
    fs::write(root.join("d"), "file\n").unwrap();
    fs::remove_dir_all(root.join("e")).unwrap();
    fs::create_dir(fixture.outside().join("elsewhere")).unwrap();
    symlink("../elsewhere", root.join("e")).unwrap();
    fs::remove_file(root.join("link")).unwrap();
    symlink("gone", root.join("link")).unwrap();
    fs::remove_file(root.join("link2")).unwrap();
    fixture.write("link2", "file\n");
    let summary = settle(&root, &fixture.base).unwrap();
    assert_eq!(
        summary.restored,
        [
            "changed", "d/x", "d/y", "e/deep/z", "f_to_d", "gone", "link", "link2", "mode"
        ]
    );
    assert_eq!(summary.excluded, [""; 0]);
    assert_eq!(fixture.export_and_fetch().commit, None);
    assert_eq!(fixture.git(&["status", "--porcelain"]), "");
    assert!(
        fs::read_dir(fixture.outside().join("elsewhere"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_workspace_with_nothing_but_its_repository_gets_all_files() {
    let fixture = Fixture::new(&[("a", "a\n"), ("deep/b", "b\n")]);
    let root = fixture.root();
    symlink("a", root.join("link")).unwrap();
    let commit = fixture.base.clone();
    let module = format!("160000,{commit},modules/one");
    fixture.git(&["add", "--all"]);
    fixture.git(&["update-index", "--add", "--cacheinfo", &module]);
    let tree = fixture.git(&["write-tree"]);
    for name in ["a", "link"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    fs::remove_dir_all(root.join("deep")).unwrap();
    let summary = settle(&root, tree.trim()).unwrap();
    assert_eq!(summary.restored, ["a", "deep/b", "link"]);
    assert_eq!(fixture.git(&["diff", "--name-status"]), "");
    assert!(root.join("modules/one").is_dir());
}

#[test]
fn leftovers_are_excluded_at_their_top_and_later_work_is_not() {
    let fixture = Fixture::new(&[("src/a.c", "a\n"), (".gitignore", "*.o\n")]);
    fixture.write("src/a.o", "ignored\n");
    fixture.write("src/gen.c", "generated\n");
    fixture.write("cache/deep/x", "x\n");
    fixture.write("objects/only.o", "x\n");
    fs::create_dir(fixture.root().join("empty")).unwrap();
    let summary = settle(&fixture.root(), &fixture.base).unwrap();
    assert_eq!(summary.excluded, ["cache", "src/gen.c"]);
    assert_eq!(fixture.export_and_fetch().commit, None);
    assert_eq!(
        settle(&fixture.root(), &fixture.base).unwrap(),
        SettleSummary::default()
    );
    fixture.write("objects/new.c", "work\n");
    fixture.write("other/gen.c", "work\n");
    let summary = fixture.export_and_fetch();
    assert_eq!(summary.tree, fixture.tree_by_git());
    assert_eq!(fixture.listing().len(), 4);
}

#[test]
fn names_with_pattern_characters_are_excluded_alone() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    let names = [
        &b"*"[..],
        b"!x",
        b"#x",
        b"a[b]",
        b"back\\slash",
        b"end ",
        b"new\nline",
        b"\xff",
        b"q?",
        b"cr\r",
    ];
    for name in names {
        fs::write(fixture.root().join(OsStr::from_bytes(name)), "x").unwrap();
    }
    assert_eq!(
        settle(&fixture.root(), &fixture.base)
            .unwrap()
            .excluded
            .len(),
        names.len()
    );
    assert_eq!(
        fixture.git(&["status", "--porcelain"]),
        "",
        "git reads the patterns the same way"
    );
    assert_eq!(fixture.export_and_fetch().commit, None);
    fixture.write("plain", "x\n");
    assert_eq!(fixture.export_and_fetch().tree, fixture.tree_by_git());
}

#[test]
fn an_exclude_file_that_is_a_link_is_replaced_not_followed() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    let target = fixture.outside().join("target");
    fs::write(&target, "mine").unwrap();
    let exclude = fixture.root().join(".git/info/exclude");
    fs::remove_file(&exclude).unwrap();
    symlink(&target, &exclude).unwrap();
    fixture.write("left", "x\n");
    settle(&fixture.root(), &fixture.base).unwrap();
    assert_eq!(fs::read_to_string(target).unwrap(), "mine");
    assert_eq!(fs::read_to_string(exclude).unwrap(), "/left\n");
}

#[test]
fn without_a_repository_nothing_is_touched() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("a", "changed\n");
    fs::remove_dir_all(fixture.root().join(".git")).unwrap();
    assert!(matches!(
        settle(&fixture.root(), &fixture.base),
        Err(WorkspaceError::NoRepository { .. })
    ));
    assert_eq!(
        fs::read_to_string(fixture.root().join("a")).unwrap(),
        "changed\n"
    );
}
