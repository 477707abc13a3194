//! The folders of the sandbox.
//!
//! A spawner that is killed leaves its folder behind. A lock in each tells the next one that nobody
//! lives there any more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use pullwright_core::removal::remove_tree;

use super::SpawnerOptions;

/// What our folders' names begin with.
const PREFIX: &str = "pullwright-";

/// The lock in each of them. It is held before it has this name.
const LOCK: &str = "lock";

/// Where the sandbox's processes are at home.
pub(super) struct Folders {
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
    /// Holds all that is ours.
    own: PathBuf,
    _lock: File,
}

impl Folders {
    /// The workspace that stays, the one in `root`, or a fresh one below it for an upload.
    pub(super) fn make(options: &SpawnerOptions, upload: bool) -> io::Result<Self> {
        let root = options.root.as_deref();
        let shared = match (upload, root) {
            _ if options.workspace.is_some() => options
                .workspace
                .as_deref()
                .map(|path| stays(path, upload))
                .transpose()?,
            (true, _) => None,
            (false, Some(root)) => Some(root.canonicalize()?),
            (false, None) => Some(std::env::current_dir()?),
        };
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(PREFIX);
        let own = match root.filter(|_| upload) {
            Some(root) => builder.tempdir_in(root),
            None => builder.tempdir(),
        };
        let own = own?.keep().canonicalize()?;
        let lock = lock(&own)?;
        remove_deserted(own.parent().unwrap_or(&own));
        let workspace = match shared {
            Some(shared) => shared,
            None => make(own.join("workspace"))?,
        };
        Ok(Self {
            workspace,
            home: match own_home().filter(|_| options.workspace.is_some()) {
                Some(home) => home,
                None => make(own.join("home"))?,
            },
            tmp: make(own.join("tmp"))?,
            own,
            _lock: lock,
        })
    }

    /// Removes what is ours. No process may be running there any more.
    pub(super) async fn remove(&self) {
        let own = self.own.clone();
        let removed = tokio::task::spawn_blocking(move || remove(&own)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, folder = %self.own.display(), "cannot remove the sandbox's folder");
        }
    }
}

/// A workspace that is not ours to remove. The repository in it is one that is sent.
fn stays(path: &Path, upload: bool) -> io::Result<PathBuf> {
    fs::create_dir_all(path)?;
    let repository = path.join(".git");
    if upload
        && repository
            .symlink_metadata()
            .is_ok_and(|found| found.is_dir())
    {
        remove_tree(&repository, &path.join(".git.removal"))?;
    }
    path.canonicalize()
}

/// The home folder of this process, where it has one.
fn own_home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    (home.is_absolute() && home.is_dir()).then_some(home)
}

fn make(folder: PathBuf) -> io::Result<PathBuf> {
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn lock(own: &Path) -> io::Result<File> {
    let unnamed = own.join("lock.new");
    let file = File::create(&unnamed)?;
    file.lock()?;
    fs::rename(unnamed, own.join(LOCK))?;
    Ok(file)
}

/// Removes what killed spawners left in `folder`, as far as it goes: it is not what we are here for.
fn remove_deserted(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for path in named.map(|entry| entry.path()) {
        if is_deserted(&path).unwrap_or(false) {
            let _ = remove(&path);
        }
    }
}

/// Whether it is a folder of ours whose lock is free.
fn is_deserted(path: &Path) -> io::Result<bool> {
    let found = path.symlink_metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != own {
        return Ok(false);
    }
    let lock = path.join(LOCK);
    // A pipe in its place would hold us up.
    let is_file = lock.symlink_metadata()?.is_file();
    Ok(is_file && File::open(lock)?.try_lock().is_ok())
}

fn remove(own: &Path) -> io::Result<()> {
    remove_tree(own, &own.with_extension("removal"))
}
