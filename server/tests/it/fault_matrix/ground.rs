//! What all cases of a stage share: an emulator of GitHub's API with a repository for each case, and git's server.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::proxy::Behind;
use crate::main_job::app_keys;
use crate::peers::emulate::{self, Emulate, OWNER, ROBOT, TOKEN};
use crate::peers::forge::{git, install_hook};
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::peers::process::Peers;
use crate::peers::rest;

/// The id of the GitHub App.
pub(super) const APP_ID: &str = "4711";

/// Where cases are played.
pub(super) struct Ground {
    api: Emulate,
    git: HttpBackend,
    root: TempDir,
}

impl Ground {
    pub(super) async fn start(peers: &Peers, names: &[String]) -> Self {
        let rights = json!({"contents": "write", "issues": "read", "metadata": "read",
            "pull_requests": "write"});
        let app = emulate::app(APP_ID, &app_keys::ours_in_pkcs8(), &rights);
        let api = Emulate::start_with_all(peers, names, &[app]).await;
        let root = tempfile::tempdir().unwrap();
        let first = first_commit(root.path()).await;
        for name in names {
            let bare = bare_of(root.path(), OWNER, name);
            copy(&first, &bare).await;
            install_hook(peers, &bare, &format!("{}/repos/{OWNER}/{name}", api.url()));
        }
        let behaviour = Behaviour::Token {
            user: "x-access-token".to_owned(),
            begin: "gh".to_owned(),
        };
        let git = HttpBackend::start(root.path().to_owned(), behaviour).await;
        Self { api, git, root }
    }

    /// What is behind the proxy of a case, whose first commit the emulator knows from now on.
    pub(super) async fn behind(&self, repository: &str) -> Behind {
        let bare = bare_of(self.root.path(), OWNER, repository);
        tell(&bare, "main").await;
        Behind {
            api: self.api.url().trim_start_matches("http://").to_owned(),
            git: self.git.host(),
            repository: format!("{OWNER}/{repository}"),
            bare,
            fork: bare_of(self.root.path(), ROBOT, repository),
        }
    }

    /// The git side of a fork that its owner has yet to ask the API for.
    pub(super) async fn prepare_fork(&self, behind: &Behind) {
        std::fs::create_dir_all(behind.fork.parent().unwrap()).unwrap();
        copy(&behind.bare, &behind.fork).await;
        let hook = behind.fork.join("hooks/post-receive");
        let script = std::fs::read_to_string(&hook).unwrap();
        let there = script.replace(&format!("/repos/{OWNER}/"), &format!("/repos/{ROBOT}/"));
        std::fs::write(&hook, there).unwrap();
    }

    /// The URL of a repository behind a proxy.
    pub(super) fn url(&self, proxy: &str, repository: &str) -> String {
        format!("http://{proxy}/{OWNER}/{repository}.git")
    }

    /// The pull requests of a repository, whatever became of them.
    pub(super) async fn pull_requests(&self, repository: &str) -> Vec<Value> {
        let url = self.pulls_url(repository);
        let (_, pulls) = rest::request("GET", &format!("{url}?state=all"), TOKEN, None).await;
        pulls.as_array().unwrap().clone()
    }

    /// Opens a pull request as somebody else would.
    pub(super) async fn propose(&self, repository: &str, branch: &str) {
        let body = json!({"title": "Greet", "head": branch, "base": "main", "body": "By hand."});
        self.post(&self.pulls_url(repository), &body).await;
    }

    /// Makes a label.
    pub(super) async fn label(&self, repository: &str, name: &str) {
        let body = json!({"name": name, "color": "ededed"});
        let url = format!("{}/repos/{OWNER}/{repository}/labels", self.api.url());
        self.post(&url, &body).await;
    }

    async fn post(&self, url: &str, body: &Value) {
        let (status, answer) = rest::request("POST", url, TOKEN, Some(body)).await;
        assert_eq!(status, 201, "{answer}");
    }

    fn pulls_url(&self, repository: &str) -> String {
        format!("{}/repos/{OWNER}/{repository}/pulls", self.api.url())
    }

    pub(super) async fn stop(self) {
        self.api.stop().await;
    }
}

fn bare_of(root: &Path, owner: &str, repository: &str) -> PathBuf {
    root.join(owner).join(format!("{repository}.git"))
}

/// Tells the emulator where a branch is that nobody has pushed.
pub(super) async fn tell(bare: &Path, branch: &str) {
    let tip = git(bare, &["rev-parse", branch]).await;
    let mut hook = Command::new(bare.join("hooks/post-receive"))
        .current_dir(bare)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pushed = format!("{} {tip} refs/heads/{branch}\n", "0".repeat(40));
    let mut stdin = hook.stdin.take().unwrap();
    stdin.write_all(pushed.as_bytes()).await.unwrap();
    drop(stdin);
    assert!(hook.wait().await.unwrap().success());
}

/// A bare repository to copy.
async fn first_commit(root: &Path) -> PathBuf {
    let (work, bare) = (root.join("first"), root.join("first.git"));
    std::fs::create_dir(&work).unwrap();
    std::fs::create_dir(root.join(OWNER)).unwrap();
    std::fs::write(work.join("greeting.txt"), "hello\n").unwrap();
    git(&work, &["init", "--quiet", "-b", "main"]).await;
    git(&work, &["add", "--all"]).await;
    git(&work, &["commit", "--quiet", "-m", "First commit"]).await;
    let path = bare.to_str().unwrap();
    git(&work, &["clone", "--quiet", "--bare", ".", path]).await;
    git(&bare, &["config", "http.receivepack", "true"]).await;
    git(&bare, &["config", "uploadpack.allowFilter", "true"]).await;
    bare
}

async fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let copied = command.arg("-r").arg(from).arg(to).status().await.unwrap();
    assert!(copied.success());
}

/// A folder that the sandbox's users may pass through.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}
