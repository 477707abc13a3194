//! A project in a bare repository, and git to look at it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fixed, so that the same project has the same commit in every lab.
const DATE: &str = "2024-01-02T03:04:05Z";

/// A file: its path and content. A path that ends in `*` is a program.
pub(crate) type File<'a> = (&'a str, &'a str);

/// What most tests work on.
pub(crate) const FILES: &[File<'_>] = &[
    ("README.md", "# Sample\n"),
    ("src/greeting.txt", "hello\n"),
    (".gitignore", "ignored/\n"),
];

/// Makes `<folder>/remotes/owner/project.git` with the files as the first commit of `main`.
pub(crate) fn make_remote(folder: &Path, files: &[File<'_>]) -> PathBuf {
    let project = folder.join("project");
    for (name, content) in files {
        write(&project, name, content);
    }
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message", "First"]);
    clone_bare(folder)
}

/// The bare copy of `<folder>/project`.
pub(crate) fn clone_bare(folder: &Path) -> PathBuf {
    let remote = folder.join("remotes/owner/project.git");
    std::fs::create_dir_all(remote.parent().expect("a parent")).expect("make a folder");
    let path = remote.to_str().expect("UTF-8");
    git(folder, &["clone", "--quiet", "--bare", "project", path]);
    remote
}

fn write(project: &Path, name: &str, content: &str) {
    let path = project.join(name.trim_end_matches('*'));
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("make a folder");
    std::fs::write(&path, content).expect("write a file");
    if name.ends_with('*') {
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("make a program");
    }
}

/// What git says, without any configuration of this machine.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let (success, output) = try_git(folder, arguments);
    assert!(success, "git {arguments:?}: {output}");
    output
}

pub(crate) fn try_git(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([
            ("GIT_AUTHOR_NAME", "Somebody"),
            ("GIT_AUTHOR_EMAIL", "somebody@example.com"),
            ("GIT_AUTHOR_DATE", DATE),
            ("GIT_COMMITTER_NAME", "Somebody"),
            ("GIT_COMMITTER_EMAIL", "somebody@example.com"),
            ("GIT_COMMITTER_DATE", DATE),
        ])
        .output()
        .expect("start git");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (output.status.success(), text)
}
