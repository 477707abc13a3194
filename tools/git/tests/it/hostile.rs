//! What an agent can do to a workspace neither runs anything nor stops the export.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use pullwright_git::{ExportOptions, WorkspaceError};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::repository::{Fixture, chmod};

#[test]
fn nothing_that_the_repository_configures_runs_or_counts() {
    let fixture = Fixture::new(&[("a.txt", "a\n"), ("z.txt", "z\n")]);
    let marker = fixture.outside().join("ran");
    let script = fixture.outside().join("evil.sh");
    fs::write(
        &script,
        format!("#!/bin/sh\ntouch {}\ncat\n", marker.display()),
    )
    .unwrap();
    chmod(&script, 0o755);
    let evil = script.to_str().unwrap();
    for (key, value) in [
        ("filter.evil.clean", evil),
        ("filter.evil.smudge", evil),
        ("filter.evil.process", evil),
        ("filter.evil.required", "true"),
        ("diff.evil.textconv", evil),
        ("diff.external", evil),
        ("core.fsmonitor", evil),
        ("core.autocrlf", "true"),
        ("core.fileMode", "false"),
        ("core.symlinks", "false"),
        ("core.ignoreCase", "true"),
        ("core.worktree", "/usr"),
    ] {
        fixture.git(&["config", key, value]);
    }
    for hook in [
        "pre-commit",
        "post-index-change",
        "reference-transaction",
        "post-commit",
    ] {
        fs::copy(&script, fixture.root().join(".git/hooks").join(hook)).unwrap();
    }
    fixture.write(
        ".gitattributes",
        "* filter=evil diff=evil text eol=crlf ident\n",
    );
    fixture.write("a.txt", "$Id$ one\r\ntwo\n");
    chmod(&fixture.root().join("z.txt"), 0o755);
    fixture.export_and_fetch();
    assert!(
        !marker.exists(),
        "a program that the workspace names was run"
    );
    assert_eq!(
        fixture.clean(&["cat-file", "blob", "refs/agent/work:a.txt"]),
        "$Id$ one\r\ntwo"
    );
    assert!(fixture.listing().contains(&"100755 z.txt".to_owned()));
    let _ = std::process::Command::new("git")
        .args(["--work-tree=.", "add", "a.txt"])
        .current_dir(fixture.root())
        .output();
    assert!(
        marker.exists(),
        "the trap is not armed: git itself did not run it either"
    );
}

#[test]
fn a_broken_repository_is_exported_as_long_as_its_objects_are_there() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("b", "b\n");
    let expected = fixture.tree_by_git();
    let git_dir = fixture.root().join(".git");
    fs::write(git_dir.join("index"), "junk").unwrap();
    fs::write(git_dir.join("index.lock"), "").unwrap();
    fs::write(git_dir.join("config"), "[core\nbroken").unwrap();
    fs::remove_file(git_dir.join("HEAD")).unwrap();
    fs::remove_dir_all(git_dir.join("refs")).unwrap();
    assert_eq!(fixture.export_and_fetch().tree, expected);
}

#[test]
fn without_a_repository_a_pristine_copy_does() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write("b", "b\n");
    let expected = fixture.tree_by_git();
    fs::remove_dir_all(fixture.root().join(".git")).unwrap();
    let error = fixture.export().unwrap_err();
    assert!(
        matches!(&error, WorkspaceError::NoRepository { .. }),
        "{error}"
    );
    let git_dir = Some(fixture.outside().join("clean.git"));
    let (summary, _) = fixture
        .export_with(&ExportOptions {
            git_dir,
            ..ExportOptions::default()
        })
        .unwrap();
    assert_eq!(summary.tree, expected);
}

#[test]
fn a_git_file_or_link_in_place_of_the_repository_is_refused() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    let git_dir = fixture.root().join(".git");
    fs::rename(&git_dir, fixture.outside().join("moved")).unwrap();
    fs::write(&git_dir, "gitdir: ../moved\n").unwrap();
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::NoRepository { .. })
    ));
    fs::remove_file(&git_dir).unwrap();
    symlink("../moved", &git_dir).unwrap();
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::NoRepository { .. })
    ));
}

#[test]
fn a_missing_damaged_or_wrong_base_is_a_clear_error() {
    let mut fixture = Fixture::new(&[("a", "a\n")]);
    let tree = fixture.git(&["rev-parse", "HEAD^{tree}"]);
    let object = fixture
        .root()
        .join(".git/objects")
        .join(&tree[..2])
        .join(&tree[2..]);
    let intact = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::BaseUnreadable { kind: "tree", .. })
    ));
    fs::write(&object, "garbage").unwrap();
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::BaseUnreadable { kind: "tree", .. })
    ));
    fixture.write("b", "b\n");
    let other = fixture.git(&["hash-object", "-w", "b"]);
    let forged = fixture
        .root()
        .join(".git/objects")
        .join(&other[..2])
        .join(&other[2..]);
    fs::copy(forged, &object).unwrap();
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::BaseUnreadable { kind: "tree", .. })
    ));
    fs::write(&object, intact).unwrap();
    let base = std::mem::replace(&mut fixture.base, "0".repeat(40));
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::BaseUnreadable { kind: "commit", .. })
    ));
    for bad in ["HEAD", "", "main", &base[..39], &"g".repeat(40), &tree] {
        fixture.base = bad.to_owned();
        let error = fixture.export().unwrap_err();
        assert!(
            matches!(
                error,
                WorkspaceError::BadBase { .. } | WorkspaceError::BaseUnreadable { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn pipes_sockets_and_link_loops_do_not_block() {
    let fixture = Fixture::new(&[("a", "a\n"), ("was_a_file", "x\n")]);
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
    fs::remove_file(root.join("was_a_file")).unwrap();
    pipe("was_a_file");
    fs::create_dir(root.join("d")).unwrap();
    pipe("d/.gitignore");
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("..", root.join("d/up")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    let summary = fixture.export_and_fetch();
    let left: Vec<_> = summary
        .left_out
        .iter()
        .map(|left| left.path.as_str())
        .collect();
    assert_eq!(left, ["d/.gitignore", "pipe", "socket", "was_a_file"]);
    assert_eq!(
        fixture.listing(),
        ["100644 a", "120000 d/up", "120000 etc", "120000 loop"]
    );
}

#[test]
fn names_of_any_bytes_come_out() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    for name in [
        &b"new\nline"[..],
        b"\xff\xfe",
        b"tab\there",
        b"quote\"",
        b"-dash",
        b" space ",
        b"back\\slash",
    ] {
        fs::write(fixture.root().join(OsStr::from_bytes(name)), name).unwrap();
    }
    assert_eq!(fixture.export_and_fetch().tree, fixture.tree_by_git());
}

#[test]
fn names_that_mean_dot_git_are_left_out_and_cost_nothing_else() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write(".GIT/config", "x\n");
    fixture.write("sub/git~1", "x\n");
    fixture.write("sub/.g\u{200c}it/x", "x\n");
    fixture.write("sub/good", "x\n");
    symlink("/etc/passwd", fixture.root().join(".gitmodules")).unwrap();
    let summary = fixture.export_and_fetch();
    assert_eq!(fixture.listing(), ["100644 a", "100644 sub/good"]);
    assert_eq!(summary.left_out.len(), 4, "{:?}", summary.left_out);
}

#[test]
fn a_nested_repository_gives_its_files_and_a_gitlink_stays() {
    let fixture = Fixture::build(|root| {
        crate::repository::write(root, "a", "a\n");
        fs::create_dir(root.join("module")).unwrap();
        let commit = "1234567890123456789012345678901234567890";
        crate::repository::git(
            root,
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("160000,{commit},module"),
            ],
        );
        crate::repository::git(root, &["commit", "--quiet", "--message=module"]);
    });
    fixture.git(&["init", "--quiet", "nested"]);
    fixture.write("nested/file", "x\n");
    fixture.write("module/file", "not part of it\n");
    fixture.write("worktree/.git", "gitdir: /nowhere\n");
    fixture.write("worktree/file", "x\n");
    let summary = fixture.export_and_fetch();
    assert_eq!(
        summary.nested_repositories,
        ["nested/.git", "worktree/.git"]
    );
    assert_eq!(
        fixture.listing(),
        [
            "100644 a",
            "160000 module",
            "100644 nested/file",
            "100644 worktree/file"
        ]
    );
}

#[test]
fn folders_nested_beyond_reason_are_an_error() {
    let fixture = Fixture::new(&[("a", "a\n")]);
    fixture.write(&format!("{}x", "d/".repeat(300)), "deep\n");
    assert!(matches!(
        fixture.export(),
        Err(WorkspaceError::TooDeep { .. })
    ));
}
