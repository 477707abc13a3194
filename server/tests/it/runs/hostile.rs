//! A whole run on a repository that means harm. The attacks one by one are in `tools/source/tests/it/hostile/`.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::lab::{GREET, Lab, Plan};
use super::project::git;

/// What reads or starts something wherever it is taken for more than files.
const FILES: &[(&str, &str)] = &[
    ("README.md", "# Sample\n"),
    ("src/greeting.txt", "hello\n"),
    (".gitattributes", "* filter=evil diff=evil merge=evil\n"),
    (
        ".gitmodules",
        "[submodule \"a\"]\n\tpath = sub\n\turl = ext::sh -c touch% CANARY\n",
    ),
    ("HEAD", "ref: refs/heads/main\n"),
    (
        "config",
        "[core]\n\tfsmonitor = CANARY\n\thooksPath = hooks\n\tworktree = /\n[include]\n\tpath = /etc/passwd\n",
    ),
    ("objects/keep", ""),
    ("refs/keep", ""),
    ("hooks/post-checkout*", "#!/bin/sh\ntouch CANARY\n"),
    ("hooks/pre-commit*", "#!/bin/sh\ntouch CANARY\n"),
];

fn spoil(folder: &Path) {
    let (project, canary) = (folder.join("project"), folder.join("canary"));
    for path in [
        "config",
        "hooks/post-checkout",
        "hooks/pre-commit",
        ".gitmodules",
    ] {
        let path = project.join(path);
        let text = std::fs::read_to_string(&path).expect("a file");
        let text = text.replace("CANARY", canary.to_str().expect("UTF-8"));
        std::fs::write(&path, text).expect("write it");
    }
    for name in ["AGENTS.md", "package.json", "Makefile"] {
        symlink("/etc/passwd", project.join(name)).expect("a symlink");
    }
    symlink("/etc", project.join("etc")).expect("a symlink");
    let head = git(&project, &["rev-parse", "HEAD"]);
    let link = format!("160000,{},sub", head.trim());
    git(&project, &["add", "--all"]);
    git(&project, &["update-index", "--add", "--cacheinfo", &link]);
    git(&project, &["commit", "--quiet", "--message", "Spoil"]);
    let remote = folder.join("remotes/owner/project.git");
    let remote = remote.to_str().expect("UTF-8");
    git(&project, &["push", "--quiet", remote, "main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_repository_is_worked_on_like_any_other() {
    let plan = Plan {
        files: FILES,
        script: GREET,
        ..Plan::default()
    };
    let lab = Lab::start_with(plan, spoil).await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
    assert!(!lab.path.join("canary").exists(), "something was started");
    let log = format!("{:?}", lab.events(&played.id).await);
    assert!(!log.contains("root:x:0"), "something outside was read");
    let told = "1 submodule is not checked out: `sub`";
    assert!(played.text.contains(told), "{}", played.text);
}
