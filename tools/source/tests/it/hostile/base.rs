//! The repository that a run is asked to work on is the attack.

use pullwright_core::source::{Base, CheckoutFiles, RepositoryFiles, Source, SourceError, Work};
use pullwright_protocol::FailureKind;
use pullwright_source::GitSource;

use super::plant::{self, Entry, blob, entry, folder};
use super::trap::Trap;
use crate::lab::{bundle, fetch, git, take_in, text};

impl Trap {
    /// Makes a tree the newest of the remote's main branch, and fetches it.
    async fn base_of(&self, entries: Vec<Entry>) -> (GitSource, Result<Base, SourceError>) {
        let bare = self.lab.bare();
        let tree = plant::tree(&bare, entries);
        let parent = text(&bare, &["rev-parse", "main"]);
        let commit = plant::commit(&bare, &tree, &parent);
        git(&bare, &["update-ref", "refs/heads/main", &commit]);
        let source = GitSource::new(pullwright_source::SourceConfig {
            allow_local_paths: true,
            max_clone_bytes: 64 << 20,
            ..self.lab.config(&[])
        });
        let source = source.unwrap();
        let base = fetch(&source, bare.to_str().unwrap(), None, None).await;
        (source, base)
    }

    /// A run's whole way: out to a sandbox, back in with a change, out again to be checked.
    async fn survives(&self, entries: Vec<Entry>) -> (GitSource, Base, Work) {
        let (source, base) = self.base_of(entries).await;
        let base = base.unwrap();
        let sandbox = self.lab.sandbox(&source, &base).await;
        std::fs::write(sandbox.join("honest"), "change\n").unwrap();
        git(&sandbox, &["add", "honest"]);
        git(&sandbox, &["commit", "-q", "--no-verify", "-m", "work"]);
        let work = take_in(&source, &base, &bundle(&sandbox, &base.commit)).await;
        let work = work.unwrap();
        let clean = self.lab.path("clean");
        let checked = source.checkout(&base, Some(&work), CheckoutFiles::Written, &clean);
        checked.await.unwrap();
        assert_eq!(work.changed.len(), 1, "{:?}", work.changed);
        assert_eq!(work.refusals, Vec::<String>::new());
        self.assert_work_untouched(&work);
        (source, base, work)
    }
}

/// Whatever a file system somewhere takes for `.git` is not even fetched.
#[tokio::test]
async fn trees_that_git_forbids_are_not_fetched() {
    for (name, reason) in [
        (&b".git"[..], "hasDotgit"),
        (b".GIT", "hasDotgit"),
        (b"git~1", "hasDotgit"),
        (b".git ", "hasDotgit"),
        (b".git.", "hasDotgit"),
        (b".git::$INDEX_ALLOCATION", "hasDotgit"),
        (b".g\xe2\x80\x8cit", "hasDotgit"),
        (b"..", "hasDotdot"),
        (b".", "hasDot"),
        (b"", "empty filename"),
        (b"a/b", "fullPathname"),
    ] {
        let trap = Trap::new();
        let bare = trap.lab.bare();
        let config = format!("[core]\n\tfsmonitor = {}\n", trap.program());
        let inside = vec![blob(&bare, "100644", *b"config", config.as_bytes())];
        let (_, base) = trap.base_of(vec![folder(&bare, name, inside)]).await;
        let shown = String::from_utf8_lossy(name);
        let error = base.expect_err(&shown);
        assert_eq!(error.kind, FailureKind::Clone, "{shown}: {error}");
        assert!(error.message.contains(reason), "{shown}: {error}");
        trap.assert_untouched();
    }
}

/// `sub/.git` is a file that says where its repository is.
#[tokio::test]
async fn a_git_file_that_points_elsewhere_is_not_fetched() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let elsewhere = format!("gitdir: {}\n", trap.outside().display());
    let inside = vec![blob(&bare, "100644", *b".git", elsewhere.as_bytes())];
    let (_, base) = trap.base_of(vec![folder(&bare, *b"sub", inside)]).await;
    let error = base.unwrap_err();
    assert!(error.message.contains("hasDotgit"), "{error}");
    trap.assert_untouched();
}

/// A folder and a symlink of one name: whoever writes the second writes through the first.
#[tokio::test]
async fn a_folder_in_the_place_of_a_symlink_is_not_fetched() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let outside = trap.outside().display().to_string();
    let inside = vec![blob(&bare, "100644", *b"secret", b"overwritten\n")];
    let entries = vec![
        blob(&bare, "120000", *b"a", outside.as_bytes()),
        folder(&bare, *b"a", inside),
    ];
    let (_, base) = trap.base_of(entries).await;
    let error = base.unwrap_err();
    assert!(error.message.contains("duplicateEntries"), "{error}");
    trap.assert_untouched();
}

/// On a file system that knows no case they would be one.
#[tokio::test]
async fn names_that_differ_in_case_lead_nowhere() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let outside = trap.outside().display().to_string();
    let inside = vec![blob(&bare, "100644", *b"secret", b"overwritten\n")];
    let entries = vec![
        blob(&bare, "120000", *b"a", outside.as_bytes()),
        folder(&bare, *b"A", inside),
    ];
    trap.survives(entries).await;
}

#[tokio::test]
async fn symlinks_of_the_repository_are_not_followed() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let outside = trap.outside().display().to_string();
    let secret = format!("{outside}/secret");
    let entries = vec![
        blob(&bare, "120000", *b"AGENTS.md", secret.as_bytes()),
        blob(&bare, "120000", *b"parent", outside.as_bytes()),
        blob(
            &bare,
            "120000",
            *b"up",
            b"../../../../../../../../etc/passwd",
        ),
        blob(&bare, "120000", *b"proc", b"/proc/self/environ"),
        blob(&bare, "100644", *b"file", b"x\n"),
    ];
    let (source, base, _) = trap.survives(entries).await;
    for path in [
        "AGENTS.md",
        "parent/secret",
        "up",
        "proc",
        "../outside/secret",
        "/etc/passwd",
    ] {
        let read = source.read(&base, path, 1000).await;
        assert!(matches!(read, Ok(None)), "{path}: {read:?}");
    }
    let read = source.read(&base, "file", 1000).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"x\n"[..]));
}

#[tokio::test]
async fn files_that_git_reads_are_not_read_through_symlinks() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let evil = trap.outside().join("secret").display().to_string();
    let (_, base) = trap
        .base_of(vec![blob(
            &bare,
            "120000",
            *b".gitmodules",
            evil.as_bytes(),
        )])
        .await;
    let error = base.unwrap_err();
    assert!(error.message.contains("gitmodulesSymlink"), "{error}");
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let evil = trap.outside().join("secret").display().to_string();
    let entries = [".gitattributes", ".gitignore", ".mailmap"]
        .map(|name| blob(&bare, "120000", name, evil.as_bytes()));
    trap.survives(entries.into()).await;
}

/// Every attribute that names a driver, beside the configuration that would give it a program.
#[tokio::test]
async fn attributes_start_nothing() {
    let trap = Trap::new();
    trap.assert_armed();
    let bare = trap.lab.bare();
    let program = trap.program();
    let attributes = "* filter=evil diff=evil merge=evil ident export-subst\n\
                      *.txt working-tree-encoding=UTF-16 eol=crlf\n";
    for key in ["clean", "smudge", "process"] {
        git(&bare, &["config", &format!("filter.evil.{key}"), &program]);
    }
    for key in [
        "diff.evil.command",
        "diff.evil.textconv",
        "merge.evil.driver",
    ] {
        git(&bare, &["config", key, &program]);
    }
    let entries = vec![
        blob(&bare, "100644", *b".gitattributes", attributes.as_bytes()),
        blob(&bare, "100644", *b"a.txt", b"$Id$ text\n"),
    ];
    trap.survives(entries).await;
}

/// A folder that git would take for a repository of its own, with a configuration of its own.
#[tokio::test]
async fn a_repository_inside_the_repository_is_only_files() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let program = trap.program();
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = {outside}\n\tfsmonitor = {program}\n\
         \tsshCommand = {program}\n\thooksPath = hooks\n\tpager = {program}\n\
         [include]\n\tpath = {outside}/secret\n[alias]\n\tstatus = !{program}\n",
        outside = trap.outside().display()
    );
    let hook = format!("#!/bin/sh\n{program}\n");
    let hooks = [
        "post-checkout",
        "post-index-change",
        "reference-transaction",
    ]
    .map(|name| blob(&bare, "100755", name, hook.as_bytes()));
    let all = |bare| {
        vec![
            blob(bare, "100644", *b"HEAD", b"ref: refs/heads/main\n"),
            blob(bare, "100644", *b"config", config.as_bytes()),
        ]
    };
    let mut inside = all(&bare);
    inside.push(folder(&bare, *b"hooks", hooks.into()));
    let kept = || vec![blob(&bare, "100644", *b"keep", b"")];
    inside.push(folder(&bare, *b"objects", kept()));
    inside.push(folder(&bare, *b"refs", kept()));
    let mut entries = all(&bare);
    entries.push(folder(&bare, *b"objects", kept()));
    entries.push(folder(&bare, *b"refs", kept()));
    entries.push(folder(&bare, *b"inner.git", inside));
    trap.survives(entries).await;
}

#[tokio::test]
async fn submodules_are_not_asked_for() {
    for url in [
        "ext::sh -c CANARY",
        "fd::17",
        "OUTSIDE",
        "https://127.0.0.1:1/x",
    ] {
        let trap = Trap::new();
        let bare = trap.lab.bare();
        let url = url.replace("CANARY", &trap.program());
        let url = url.replace("OUTSIDE", &trap.outside().display().to_string());
        let modules = format!(
            "[submodule \"a\"]\n\tpath = sub\n\turl = {url}\n\tupdate = checkout\n\tignore = none\n"
        );
        let commit = text(&bare, &["rev-parse", "main"]);
        let entries = vec![
            blob(&bare, "100644", *b".gitmodules", modules.as_bytes()),
            entry("160000", *b"sub", commit),
        ];
        trap.survives(entries).await;
        let left = std::fs::read_dir(trap.lab.path("clean/sub"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "{url}");
    }
    for (modules, reason) in [
        (
            "[submodule \"a\"]\n\tpath = a\n\turl = -u./canary\n",
            "gitmodulesUrl",
        ),
        (
            "[submodule \"a\"]\n\tpath = -x\n\turl = https://x/y\n",
            "gitmodulesPath",
        ),
        (
            "[submodule \"../../hooks\"]\n\tpath = a\n\turl = https://x/y\n",
            "gitmodulesName",
        ),
        (
            "[submodule \"a\"]\n\tpath = a\n\turl = https://x/y\n\tupdate = !canary\n",
            "gitmodulesUpdate",
        ),
    ] {
        let trap = Trap::new();
        let bare = trap.lab.bare();
        let entries = vec![blob(&bare, "100644", *b".gitmodules", modules.as_bytes())];
        let (_, base) = trap.base_of(entries).await;
        let error = base.expect_err(modules);
        assert!(error.message.contains(reason), "{error}");
        trap.assert_untouched();
    }
}

/// Files that many tools run by themselves: not git, and not here.
#[tokio::test]
async fn files_that_look_like_hooks_are_only_files() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let hook = format!("#!/bin/sh\n{}\n", trap.program());
    let hooks = || vec![blob(&bare, "100755", *b"post-checkout", hook.as_bytes())];
    let entries = vec![
        folder(&bare, *b"hooks", hooks()),
        folder(&bare, *b".husky", hooks()),
        folder(&bare, *b".githooks", hooks()),
        blob(&bare, "100755", *b".envrc", hook.as_bytes()),
        blob(
            &bare,
            "100644",
            *b".lfsconfig",
            b"[lfs]\n\turl = http://127.0.0.1:1/\n",
        ),
    ];
    trap.survives(entries).await;
}

/// A few objects that stand for more than any disk takes.
#[tokio::test]
async fn what_unfolds_without_end_is_not_written() {
    let trap = Trap::new();
    let bare = trap.lab.bare();
    let unfolding = |leaf: Vec<Entry>| {
        let mut entries = leaf;
        for _ in 0..9 {
            let id = plant::tree(&bare, entries);
            let folders = (0..10).map(|n| entry("40000", format!("d{n}"), id.clone()));
            entries = folders.collect();
        }
        entries
    };
    let many = unfolding(vec![blob(&bare, "100644", *b"f", b"x\n")]);
    let large = vec![0; 1 << 20];
    let large = blob(&bare, "100644", *b"f", &large).repeated(1000);
    let mut deep = vec![blob(&bare, "100644", *b"f", b"x\n")];
    for _ in 0..600 {
        deep = vec![folder(&bare, *b"d", deep)];
    }
    let mut long = vec![blob(&bare, "100644", *b"f", b"x\n")];
    for _ in 0..20 {
        long = vec![folder(&bare, "d".repeat(250), long)];
    }
    for (entries, reason) in [
        (many, "files, more than"),
        (large, "raise `[repositories] max_clone_mb`"),
        (deep, "nested more than 512 deep"),
        (long, "bytes, more than 4000"),
    ] {
        let (_, base) = trap.base_of(entries).await;
        let error = base.expect_err(reason);
        assert_eq!(error.kind, FailureKind::Limit, "{error}");
        assert!(error.message.contains(reason), "{error}");
    }
    trap.assert_untouched();
}

impl Entry {
    /// The same object under many names.
    fn repeated(self, count: usize) -> Vec<Self> {
        let copies = (0..count).map(|n| entry("100644", format!("f{n}"), self.id().to_owned()));
        copies.collect()
    }
}

/// The remote is a folder of this machine, which only the command line takes, and its configuration is an attack.
#[tokio::test]
async fn the_configuration_of_a_local_remote_starts_nothing() {
    let trap = Trap::new();
    trap.assert_armed();
    let bare = trap.lab.bare();
    let program = trap.program();
    for key in [
        "uploadpack.packObjectsHook",
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "core.pager",
        "core.editor",
        "core.alternateRefsCommand",
        "credential.helper",
        "alias.fetch",
        "remote.origin.uploadpack",
        "gpg.program",
    ] {
        git(&bare, &["config", key, &program]);
    }
    let outside = trap.outside().join("secret").display().to_string();
    git(&bare, &["config", "uploadpack.hideRefs", "nothing"]);
    git(&bare, &["config", "core.attributesFile", &outside]);
    let entries = vec![blob(&bare, "100644", *b"file", b"x\n")];
    trap.survives(entries).await;
}
