//! The repository that all runs work on, behind git's own HTTP server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::http_backend::{Behaviour, HttpBackend};

/// The repository's path at the remote.
pub(crate) const PROJECT: &str = "owner/project.git";

/// A folder that the users of a sandbox can pass through.
pub(crate) fn make_folder() -> TempDir {
    let mut folder = tempfile::Builder::new();
    folder.permissions(Permissions::from_mode(0o711));
    folder.prefix("pullwright-load-").tempdir().unwrap()
}

pub(crate) async fn start(folder: &Path) -> HttpBackend {
    let (project, root) = (folder.join("project"), folder.join("remotes"));
    let bare = root.join(PROJECT);
    std::fs::create_dir_all(&project).unwrap();
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(project.join("README.md"), "a sample\n").unwrap();
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message", "Start"]);
    let bare_name = bare.to_str().unwrap();
    git(&project, &["clone", "--quiet", "--bare", ".", bare_name]);
    // Hundreds of pushes would have it tidy up in the midst of them.
    git(&bare, &["config", "receive.autogc", "false"]);
    HttpBackend::start(root, Behaviour::Open).await
}

fn git(folder: &Path, arguments: &[&str]) {
    let ended = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
        .args(arguments)
        .status();
    assert!(ended.unwrap().success(), "git {arguments:?} failed");
}
