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
        if let Ok(Some(_held)) = take_over(&path) {
            let _ = remove(&path);
        }
    }
}

/// The lock of a folder of ours, if nobody holds it.
fn take_over(path: &Path) -> io::Result<Option<File>> {
    let found = path.symlink_metadata()?;
    let own = rustix::process::geteuid().as_raw();
    let named = path.join(LOCK);
    // A pipe in its place would hold us up.
    if !found.is_dir() || found.uid() != own || !named.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let lock = File::open(&named)?;
    // Its holder may have removed the folder before it was ours to hold.
    let is_held = lock.try_lock().is_ok() && is_same(&lock.metadata()?, &named.metadata()?);
    Ok(is_held.then_some(lock))
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Removes a folder of ours, whose lock is held. Whoever is killed meanwhile leaves the rest in another
/// folder of ours, with a lock of its own, for the next one to remove.
fn remove(own: &Path) -> io::Result<()> {
    let aside = Aside::beside(own)?;
    let removed = remove_tree(own, &aside.tree());
    // Where nothing came to be in it, it is as superfluous as after a success.
    if removed.is_ok() || !aside.tree().exists() {
        fs::remove_dir_all(&aside.folder)?;
    }
    removed
}

/// A folder beside another one of ours, for what is being removed.
struct Aside {
    folder: PathBuf,
    _lock: File,
}

impl Aside {
    fn beside(own: &Path) -> io::Result<Self> {
        let beside = own.parent().unwrap_or(own);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(beside)?;
        let lock = lock(folder.path())?;
        Ok(Self {
            folder: folder.keep(),
            _lock: lock,
        })
    }

    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of ours with something in it, and its lock.
    fn folder(root: &Path) -> (PathBuf, File) {
        let own = root.join(format!("{PREFIX}own"));
        fs::create_dir_all(own.join("workspace/deep")).unwrap();
        let lock = lock(&own).unwrap();
        (own, lock)
    }

    fn left(root: &Path) -> usize {
        fs::read_dir(root).unwrap().count()
    }

    #[test]
    fn it_is_removed_whole() {
        let root = tempfile::tempdir().unwrap();
        let (own, _lock) = folder(root.path());
        remove(&own).unwrap();
        assert_eq!(left(root.path()), 0);
    }

    #[test]
    fn what_a_killed_one_left_is_removed_and_what_another_holds_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (own, lock) = folder(root.path());
        fs::create_dir(root.path().join("another")).unwrap();
        remove_deserted(root.path());
        assert!(own.join("workspace").exists());
        drop(lock);
        remove_deserted(root.path());
        assert_eq!(left(root.path()), 1);
    }

    #[test]
    fn a_removal_that_was_killed_is_gone_on_with() {
        let root = tempfile::tempdir().unwrap();
        let (own, lock) = folder(root.path());
        let aside = Aside::beside(&own).unwrap();
        let tree = aside.tree();
        fs::create_dir(&tree).unwrap();
        fs::rename(own.join("workspace"), tree.join("3")).unwrap();
        fs::remove_file(own.join(LOCK)).unwrap();
        fs::remove_dir(own).unwrap();
        remove_deserted(root.path());
        assert!(tree.join("3").exists(), "somebody is at it");
        drop((aside, lock));
        remove_deserted(root.path());
        assert_eq!(left(root.path()), 0);
    }

    /// What ran in there may have done anything to it.
    #[test]
    fn a_removal_needs_no_lock_in_what_it_removes() {
        let root = tempfile::tempdir().unwrap();
        let (own, _lock) = folder(root.path());
        fs::remove_file(own.join(LOCK)).unwrap();
        fs::create_dir(own.join(LOCK)).unwrap();
        remove(&own).unwrap();
        assert_eq!(left(root.path()), 0);
    }

    #[test]
    fn a_removal_that_fails_at_once_leaves_nothing_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        remove(&root.path().join("gone")).unwrap_err();
        assert_eq!(left(root.path()), 0);
    }
}
