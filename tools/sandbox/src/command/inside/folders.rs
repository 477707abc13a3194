//! The folders of the sandbox.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use pullwright_core::removal::remove_tree;

/// Where the sandbox's processes are at home.
pub(super) struct Folders {
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
    /// Holds all that is ours.
    own: PathBuf,
}

impl Folders {
    /// The workspace in `root`, or a fresh one below it for an upload.
    pub(super) fn make(root: Option<&Path>, upload: bool) -> io::Result<Self> {
        let shared = match (upload, root) {
            (true, _) => None,
            (false, Some(root)) => Some(root.canonicalize()?),
            (false, None) => Some(std::env::current_dir()?),
        };
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("pullwright-");
        let own = match root.filter(|_| upload) {
            Some(root) => builder.tempdir_in(root),
            None => builder.tempdir(),
        };
        let own = own?.keep().canonicalize()?;
        let workspace = match shared {
            Some(shared) => shared,
            None => make(own.join("workspace"))?,
        };
        Ok(Self {
            workspace,
            home: make(own.join("home"))?,
            tmp: make(own.join("tmp"))?,
            own,
        })
    }

    /// Removes what is ours. No process may be running there any more.
    pub(super) async fn remove(&self) {
        let (own, beside) = (self.own.clone(), self.own.with_extension("removal"));
        let removed = tokio::task::spawn_blocking(move || remove_tree(&own, &beside)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, folder = %self.own.display(), "cannot remove the sandbox's folder");
        }
    }
}

fn make(folder: PathBuf) -> io::Result<PathBuf> {
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}
