//! A folder with a remote repository, a sandbox's clone of it, and a source under test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pullwright_core::source::{Base, CheckoutFiles, Fetch, Source, SourceError, Work};
use pullwright_protocol::RunId;
use pullwright_protocol::forge::ForgeCredential;
use pullwright_source::{GitSource, SourceConfig};
use tempfile::TempDir;

use crate::http_backend::{Behaviour, HttpBackend};

pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    /// A remote `remote/owner/repo.git` with two commits on `main` and a branch `side`.
    pub(crate) fn new() -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let seed = lab.path("seed");
        std::fs::create_dir_all(seed.join("src")).unwrap();
        git(&seed, &["init", "-q", "-b", "main"]);
        std::fs::write(seed.join("README.md"), "# one\n").unwrap();
        commit(&seed, "one");
        std::fs::write(seed.join("src/lib.rs"), "pub fn two() {}\n").unwrap();
        std::fs::write(seed.join("run.sh"), "#!/bin/sh\n").unwrap();
        git(&seed, &["add", "-A"]);
        git(&seed, &["update-index", "--chmod=+x", "run.sh"]);
        std::os::unix::fs::symlink("README.md", seed.join("link")).unwrap();
        commit(&seed, "two");
        git(&seed, &["checkout", "-q", "-b", "side", "HEAD~1"]);
        std::fs::write(seed.join("secret-of-side"), "side\n").unwrap();
        commit(&seed, "side");
        git(&seed, &["checkout", "-q", "-f", "main"]);
        let bare = lab.path("remote/owner/repo.git");
        std::fs::create_dir_all(bare.parent().unwrap()).unwrap();
        git(
            &seed,
            &["clone", "-q", "--bare", ".", bare.to_str().unwrap()],
        );
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.path("remote/owner/repo.git")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) async fn serve(&self, behaviour: Behaviour) -> HttpBackend {
        HttpBackend::start(self.path("remote"), behaviour).await
    }

    pub(crate) fn config(&self, hosts: &[String]) -> SourceConfig {
        SourceConfig {
            hosts: hosts.to_vec(),
            ..SourceConfig::new(self.data())
        }
    }

    pub(crate) fn source(&self, hosts: &[String]) -> GitSource {
        GitSource::new(self.config(hosts)).unwrap()
    }

    /// A source that takes local paths, and the base of the lab's remote.
    pub(crate) async fn local(&self) -> (GitSource, Base) {
        let config = SourceConfig {
            allow_local_paths: true,
            ..self.config(&[])
        };
        let source = GitSource::new(config).unwrap();
        let base = fetch(&source, self.bare().to_str().unwrap(), None, None)
            .await
            .unwrap();
        (source, base)
    }

    /// A `git` that runs a line of shell first.
    pub(crate) fn git_after(&self, line: &str) -> PathBuf {
        let path = self.path("git");
        std::fs::write(&path, format!("#!/bin/sh\n{line}\nexec git \"$@\"\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A `git` that writes its environment and arguments to the file `calls`.
    pub(crate) fn telling_git(&self) -> PathBuf {
        let log = self.path("calls");
        self.git_after(&format!(
            "{{ env; echo \"argv: $*\"; }} >> {}",
            log.display()
        ))
    }

    pub(crate) fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap()
    }

    /// A clone as a sandbox has it, at the base commit.
    pub(crate) async fn sandbox(&self, source: &GitSource, base: &Base) -> PathBuf {
        let path = self.path("sandbox");
        source
            .checkout(base, None, CheckoutFiles::Written, &path)
            .await
            .unwrap();
        path
    }
}

pub(crate) async fn fetch(
    source: &GitSource,
    url: &str,
    branch: Option<&str>,
    credential: Option<&ForgeCredential>,
) -> Result<Base, SourceError> {
    let repository = source.accept(url)?;
    source
        .fetch(Fetch {
            repository: &repository,
            branch,
            commit: None,
            since: None,
            credential,
        })
        .await
}

pub(crate) async fn take_in(
    source: &GitSource,
    base: &Base,
    bundle: &[u8],
) -> Result<Work, SourceError> {
    let mut reader = bundle;
    source.take_in(&run(), base, &mut reader).await
}

pub(crate) fn run() -> RunId {
    RunId("0199-test-run".into())
}

pub(crate) fn token(origin: &str, password: &str) -> ForgeCredential {
    ForgeCredential {
        origin: origin.into(),
        username: "x-access-token".into(),
        password: Some(password.into()),
    }
}

/// The bundle `base..HEAD` of a sandbox's folder.
pub(crate) fn bundle(folder: &Path, base: &str) -> Vec<u8> {
    git(folder, &["update-ref", "refs/heads/work", "HEAD"]);
    git(
        folder,
        &[
            "bundle",
            "create",
            "-q",
            "-",
            &format!("{base}..refs/heads/work"),
        ],
    )
}

/// Commits the index as it is, made by plumbing, and bundles it.
pub(crate) fn bundle_tree(folder: &Path, base: &str, tree: &str) -> Vec<u8> {
    let commit = text(folder, &["commit-tree", tree, "-p", base, "-m", "work"]);
    git(folder, &["update-ref", "refs/heads/work", &commit]);
    git(
        folder,
        &[
            "bundle",
            "create",
            "-q",
            "-",
            &format!("{base}..refs/heads/work"),
        ],
    )
}

pub(crate) fn commit(folder: &Path, message: &str) {
    git(folder, &["add", "-A"]);
    git(
        folder,
        &[
            "commit",
            "-q",
            "--no-verify",
            "--allow-empty",
            "-m",
            message,
        ],
    );
}

pub(crate) fn text(folder: &Path, args: &[&str]) -> String {
    String::from_utf8(git(folder, args))
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Runs real git as a user would, and answers its output.
pub(crate) fn git(folder: &Path, args: &[&str]) -> Vec<u8> {
    git_with(folder, args, b"")
}

pub(crate) fn git_with(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("git")
        .current_dir(folder)
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "A Model")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "model@example.com")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    output.stdout
}
