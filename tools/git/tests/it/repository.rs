//! A real repository made by the real git, and what git itself makes of a bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pullwright_git::{ExportOptions, ExportSummary, WorkspaceError, export};
use tempfile::TempDir;

/// A repository with one commit, its workspace, and a clean bare clone on the other side.
pub(crate) struct Fixture {
    folder: TempDir,
    pub(crate) base: String,
}

impl Fixture {
    /// Commits `files` as the base.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::build(|root| {
            for (path, content) in files {
                write(root, path, content);
            }
        })
    }

    /// Commits what `fill` puts into the workspace as the base.
    pub(crate) fn build(fill: impl FnOnce(&Path)) -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("work");
        fs::create_dir(&root).unwrap();
        git(&root, &["init", "--quiet", "--initial-branch=main"]);
        fill(&root);
        git(&root, &["add", "--all"]);
        git(
            &root,
            &["commit", "--quiet", "--allow-empty", "--message=base"],
        );
        let base = git(&root, &["rev-parse", "HEAD"]);
        let clean = folder.path().join("clean.git");
        git(
            &root,
            &[
                "clone",
                "--quiet",
                "--bare",
                "--no-local",
                ".",
                clean.to_str().unwrap(),
            ],
        );
        Self { folder, base }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn outside(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(&self.root(), path, content);
    }

    pub(crate) fn export(&self) -> Result<(ExportSummary, Vec<u8>), WorkspaceError> {
        self.export_with(&ExportOptions::default())
    }

    pub(crate) fn export_with(
        &self,
        options: &ExportOptions,
    ) -> Result<(ExportSummary, Vec<u8>), WorkspaceError> {
        let mut bundle = Vec::new();
        let summary = export(&self.root(), &self.base, options, &mut bundle)?;
        Ok((summary, bundle))
    }

    /// Exports, and lets git verify the bundle and fetch it with every check on. Gives the summary.
    pub(crate) fn export_and_fetch(&self) -> ExportSummary {
        let (summary, bundle) = self.export().unwrap();
        let Some(commit) = &summary.commit else {
            assert!(
                bundle.is_empty(),
                "no change, but {} bytes were written",
                bundle.len()
            );
            assert_eq!(
                summary.tree,
                self.clean(&["rev-parse", &format!("{}^{{tree}}", self.base)])
            );
            return summary;
        };
        let file = self.folder.path().join("work.bundle");
        fs::write(&file, &bundle).unwrap();
        let file = file.to_str().unwrap();
        self.clean(&["bundle", "verify", "--quiet", file]);
        let spec = "+refs/heads/work:refs/agent/work";
        self.clean(&[
            "-c",
            "transfer.fsckObjects=true",
            "-c",
            "fetch.fsckObjects=true",
            "fetch",
            "--quiet",
            "--no-tags",
            file,
            spec,
        ]);
        assert_eq!(&self.clean(&["rev-parse", "refs/agent/work"]), commit);
        assert_eq!(self.clean(&["rev-parse", "refs/agent/work^"]), self.base);
        assert_eq!(
            self.clean(&["rev-parse", "refs/agent/work^{tree}"]),
            summary.tree
        );
        self.clean(&["fsck", "--strict", "--connectivity-only"]);
        summary
    }

    /// The tree that git itself makes of a copy of the workspace.
    pub(crate) fn tree_by_git(&self) -> String {
        let copy = TempDir::new().unwrap();
        let status = Command::new("cp")
            .arg("-a")
            .arg(self.root())
            .arg(copy.path())
            .status();
        assert!(status.unwrap().success());
        let root = copy.path().join("work");
        git(&root, &["add", "--all"]);
        git(&root, &["write-tree"])
    }

    /// Lists the fetched work as `mode path` lines.
    pub(crate) fn listing(&self) -> Vec<String> {
        let text = self.clean(&[
            "-c",
            "core.quotePath=true",
            "ls-tree",
            "-r",
            "--format=%(objectmode) %(path)",
            "refs/agent/work",
        ]);
        text.lines().map(str::to_owned).collect()
    }

    /// Runs git in the clean clone.
    pub(crate) fn clean(&self, args: &[&str]) -> String {
        git(&self.folder.path().join("clean.git"), args)
    }

    /// Runs git in the workspace.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.root(), args)
    }
}

/// Writes a file, and the folders above it.
pub(crate) fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs git with a fixed identity, date and configuration; panics if it fails.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
            [
                ("NAME", "Ada"),
                ("EMAIL", "ada@example.com"),
                ("DATE", "1750000000 +0000"),
            ]
            .map(|(key, value)| (format!("GIT_{who}_{key}"), value))
        }))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "git {args:?} in {}: {error}",
        folder.display()
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
