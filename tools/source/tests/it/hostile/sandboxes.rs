//! What runs in a sandbox may write all there is in its folder, the repository in it too.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use pullwright_core::source::{CheckoutFiles, Push, Source};

use super::trap::Trap;
use crate::lab::{bundle, commit, git, run, take_in, text};

const HOOKS: &[&str] = &[
    "pre-commit",
    "post-commit",
    "post-checkout",
    "post-index-change",
    "pre-push",
    "reference-transaction",
    "fsmonitor-watchman",
    "pre-auto-gc",
    "post-rewrite",
    "proc-receive",
];

/// Everything in a repository that can name a program, and everything that leads out of it.
fn poison(trap: &Trap, sandbox: &Path) {
    let program = trap.program();
    let git_dir = sandbox.join(".git");
    std::fs::create_dir_all(git_dir.join("hooks")).unwrap();
    for hook in HOOKS {
        let path = git_dir.join("hooks").join(hook);
        std::fs::copy(&program, &path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let outside = trap.outside();
    let evil = outside.display();
    let mut config = std::fs::read_to_string(git_dir.join("config")).unwrap();
    config += &format!(
        "[core]\n\tfsmonitor = {program}\n\tsshCommand = {program}\n\thooksPath = hooks\n\tworktree = {evil}\n\
         \tpager = {program}\n\teditor = {program}\n\taskPass = {program}\n\tgitProxy = {program}\n\
         \tattributesFile = {evil}/secret\n\texcludesFile = {evil}/secret\n\talternateRefsCommand = {program}\n\
         [include]\n\tpath = {evil}/secret\n[includeIf \"gitdir:/\"]\n\tpath = {evil}/secret\n\
         [filter \"evil\"]\n\tclean = {program}\n\tsmudge = {program}\n\tprocess = {program}\n\trequired = true\n\
         [diff]\n\texternal = {program}\n[diff \"evil\"]\n\ttextconv = {program}\n\tcommand = {program}\n\
         [uploadpack]\n\tpackObjectsHook = {program}\n[credential]\n\thelper = {program}\n\
         [url \"ext::{program} \"]\n\tinsteadOf = https://\n\tinsteadOf = /\n[protocol]\n\tallow = always\n\
         [remote \"origin\"]\n\turl = ext::{program}\n\tuploadpack = {program}\n[gpg]\n\tprogram = {program}\n\
         [commit]\n\tgpgSign = true\n[extensions]\n\tpartialClone = origin\n"
    );
    std::fs::write(git_dir.join("config"), config).unwrap();
    let attributes = "* filter=evil diff=evil\n";
    std::fs::create_dir_all(git_dir.join("info")).unwrap();
    std::fs::write(git_dir.join("info/attributes"), attributes).unwrap();
    let objects = format!("{evil}/objects\n");
    std::fs::create_dir_all(git_dir.join("objects/info")).unwrap();
    std::fs::write(git_dir.join("objects/info/alternates"), objects).unwrap();
    std::fs::write(git_dir.join("commondir"), format!("{evil}\n")).unwrap();
}

/// The host goes on as if the folder were not there: only the bundle counts.
#[tokio::test]
async fn a_poisoned_repository_is_never_opened() {
    let trap = Trap::new();
    trap.assert_armed();
    let (source, base) = trap.lab.local().await;
    let run_dir = source.run_dir(&run()).unwrap();
    std::fs::create_dir_all(&run_dir).unwrap();
    let sandbox = run_dir.join("workspace");
    let made = source.checkout(&base, None, CheckoutFiles::Written, &sandbox);
    made.await.unwrap();
    std::fs::write(sandbox.join("README.md"), "# changed\n").unwrap();
    commit(&sandbox, "work");
    let bundled = bundle(&sandbox, &base.commit);
    poison(&trap, &sandbox);
    let work = take_in(&source, &base, &bundled).await.unwrap();
    assert_eq!(work.changed.len(), 1);
    let clean = run_dir.join("clean");
    let checked = source.checkout(&base, Some(&work), CheckoutFiles::Written, &clean);
    checked.await.unwrap();
    let push = Push {
        run: &run(),
        base: &base,
        work: &work,
        moved: None,
        to: None,
        branch: "pullwright/hostile",
        grows: false,
        begun_at: &[],
        message: "Change",
        credential: None,
    };
    source.push(push).await.unwrap();
    let parent = text(&trap.lab.bare(), &["rev-parse", "pullwright/hostile^"]);
    assert_eq!(parent, base.commit);
    source.discard(&run()).await.unwrap();
    trap.assert_work_untouched(&work);
}

/// What one sandbox does to its objects is not in the next one's.
#[tokio::test]
async fn a_checkout_shares_no_file_with_another() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let first = trap.lab.path("first");
    let made = source.checkout(&base, None, CheckoutFiles::Packed, &first);
    made.await.unwrap();
    let packs = std::fs::read_dir(first.join(".git/objects/pack")).unwrap();
    let mut spoiled = 0;
    for pack in packs {
        let path = pack.unwrap().path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, "spoiled").unwrap();
        spoiled += 1;
    }
    assert!(spoiled >= 2);
    let second = trap.lab.path("second");
    let made = source.checkout(&base, None, CheckoutFiles::Written, &second);
    made.await.unwrap();
    git(&second, &["fsck", "--full", "--strict"]);
}

/// Its folder may be full of ways out when the run is over.
#[tokio::test]
async fn discarding_a_run_follows_no_symlink() {
    let trap = Trap::new();
    let (source, base) = trap.lab.local().await;
    let run_dir = source.run_dir(&run()).unwrap();
    std::fs::create_dir_all(&run_dir).unwrap();
    let workspace = run_dir.join("workspace");
    let made = source.checkout(&base, None, CheckoutFiles::Written, &workspace);
    made.await.unwrap();
    std::fs::remove_dir_all(workspace.join(".git")).unwrap();
    symlink(trap.outside(), workspace.join(".git")).unwrap();
    symlink(trap.outside(), workspace.join("src/out")).unwrap();
    symlink(trap.outside(), run_dir.join("quarantine-evil")).unwrap();
    let locked = workspace.join("locked");
    std::fs::create_dir(&locked).unwrap();
    source.discard(&run()).await.unwrap();
    assert!(!run_dir.exists());
    trap.assert_untouched();
}
