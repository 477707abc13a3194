//! A whole forge: git over HTTP with a password, and the REST API, on the same commits.
//!
//! A hook of the git side replays each push into the emulator, so a pull request there has the very
//! hash that was pushed. The emulator fixes that hash when the pull request is opened; its branches
//! follow later pushes, its pull requests do not.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::emulate::{Emulate, NAME, OWNER, TOKEN};
use super::http_backend::{Behaviour, HttpBackend};
use super::process::Peers;

/// A git that takes longer waits for something that never comes.
const GIT_LIMIT: Duration = Duration::from_secs(60);
/// The name that goes with a token.
const USER: &str = "x-access-token";
/// The hook's program.
const REPLAY: &str = include_str!("replay.mjs");

/// A running forge with the repository [`OWNER`]/[`NAME`].
pub(crate) struct Forge {
    pub(crate) api: Emulate,
    pub(crate) git: HttpBackend,
    root: TempDir,
}

impl Forge {
    /// A forge whose repository has `files` in its first commit, on `main`.
    pub(crate) async fn start(peers: &Peers, files: &[(&str, &str)]) -> Self {
        let behaviour = Behaviour::Password {
            user: USER.to_owned(),
            password: TOKEN.to_owned(),
        };
        Self::with(Emulate::start(peers, false).await, behaviour, peers, files).await
    }

    /// [`Forge::start`] with a GitHub App, whose tokens git takes and no other.
    pub(crate) async fn start_with_app(
        peers: &Peers,
        files: &[(&str, &str)],
        app: serde_json::Value,
    ) -> Self {
        let behaviour = Behaviour::Token {
            user: USER.to_owned(),
            begin: "ghs_".to_owned(),
        };
        let api = Emulate::start_with(peers, false, &[app]).await;
        Self::with(api, behaviour, peers, files).await
    }

    /// [`Forge::start`], whose API is called as `address`.
    pub(crate) async fn start_behind(peers: &Peers, files: &[(&str, &str)], address: &str) -> Self {
        let behaviour = Behaviour::Password {
            user: USER.to_owned(),
            password: TOKEN.to_owned(),
        };
        let api = Emulate::start_behind(peers, false, &[], Some(address)).await;
        Self::with(api, behaviour, peers, files).await
    }

    async fn with(
        api: Emulate,
        behaviour: Behaviour,
        peers: &Peers,
        files: &[(&str, &str)],
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bare = root.path().join(OWNER).join(format!("{NAME}.git"));
        git(
            root.path(),
            &[
                "init",
                "--quiet",
                "--bare",
                "-b",
                "main",
                bare.to_str().unwrap(),
            ],
        )
        .await;
        git(&bare, &["config", "http.receivepack", "true"]).await;
        git(&bare, &["config", "uploadpack.allowFilter", "true"]).await;
        install_hook(peers, &bare, &format!("{}/repos/{OWNER}/{NAME}", api.url()));
        first_commit(root.path(), &bare, files).await;
        let git = HttpBackend::start(root.path().to_owned(), behaviour).await;
        Self { api, git, root }
    }

    /// The URL to clone and to push to, without credentials.
    pub(crate) fn clone_url(&self) -> String {
        self.git.url(&format!("{OWNER}/{NAME}.git"))
    }

    /// The bare repository behind it.
    pub(crate) fn bare(&self) -> PathBuf {
        self.root.path().join(OWNER).join(format!("{NAME}.git"))
    }

    /// What `revision` is in the bare repository.
    pub(crate) async fn rev_parse(&self, revision: &str) -> String {
        git(&self.bare(), &["rev-parse", "--verify", revision]).await
    }
}

/// Runs git without the configuration of whoever runs the tests; its output, trimmed.
pub(crate) async fn git(folder: &Path, arguments: &[&str]) -> String {
    // The server it may talk to runs on this very runtime, so this must not block.
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.com")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(GIT_LIMIT, output).await;
    let output = output.unwrap_or_else(|_| panic!("git {arguments:?}: not done in {GIT_LIMIT:?}"));
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Replays what is pushed to `bare` into the repository at `api`.
pub(crate) fn install_hook(peers: &Peers, bare: &Path, api: &str) {
    let hook = bare.join("hooks/post-receive");
    let program = bare.join("hooks/replay.mjs");
    std::fs::write(&program, REPLAY).unwrap();
    let script = format!(
        "#!/bin/sh\nAPI='{api}' TOKEN='{TOKEN}' exec '{}' '{}'\n",
        peers.node().display(),
        program.display(),
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Pushes by path, which runs the hook as well.
async fn first_commit(root: &Path, bare: &Path, files: &[(&str, &str)]) {
    let work = root.join("first");
    git(root, &["init", "--quiet", "-b", "main", "first"]).await;
    for (path, content) in files {
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
    }
    git(&work, &["add", "--all"]).await;
    git(
        &work,
        &["commit", "--quiet", "--allow-empty", "-m", "First commit"],
    )
    .await;
    git(&work, &["push", "--quiet", bare.to_str().unwrap(), "main"]).await;
    std::fs::remove_dir_all(&work).unwrap();
}
