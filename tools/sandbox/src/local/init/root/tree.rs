//! The new root while it is built.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat, openat2,
    statat, symlinkat,
};
use rustix::io::Errno;

use super::super::mount;
use crate::local::step::{During as _, Failure, Step};

const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// The new root. Every path is relative to it, and no link leads out of it.
pub(super) struct Tree(OwnedFd);

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    /// Puts `mount` at `target`, which is made if it is missing.
    pub(super) fn mount(&self, mount: &OwnedFd, target: &Path) -> Result<(), Failure> {
        let detail = || format!("bind /{}", target.display());
        let found = fstat(mount).during(Step::Mount, detail)?;
        let place = match is_folder(&found) {
            true => self.folder(target),
            false => self.file(target),
        };
        let place = place.during(Step::File, || format!("make /{}", target.display()))?;
        mount::put(mount, place.as_fd()).during(Step::Mount, detail)
    }

    /// Puts `mount` at the folder `target`.
    pub(super) fn mount_folder(&self, mount: &OwnedFd, target: &Path) -> Result<(), Failure> {
        let place = self.folder(target);
        let place = place.during(Step::File, || format!("make /{}", target.display()))?;
        mount::put(mount, place.as_fd())
            .during(Step::Mount, || format!("mount /{}", target.display()))
    }

    /// Makes a file with `content`.
    pub(super) fn write(&self, path: &str, content: &str) -> Result<(), Failure> {
        let write = || {
            let (folder, name) = self.parent(Path::new(path))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(&folder, name, flags, FILE_MODE)?;
            File::from(file).write_all(content.as_bytes())
        };
        write().during(Step::File, || format!("write /{path}"))
    }

    /// Makes a symbolic link.
    pub(super) fn link(&self, path: &str, to: impl AsRef<Path>) -> Result<(), Failure> {
        let link = || {
            let (folder, name) = self.parent(Path::new(path))?;
            io::Result::Ok(symlinkat(to.as_ref(), &folder, name)?)
        };
        link().during(Step::File, || format!("make the link /{path}"))
    }

    /// What is at `path`, if anything is.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder at `path`, made with all above it if it is missing.
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.0.try_clone();
        }
        if let Some(found) = self.find(path)? {
            return Ok(found);
        }
        let (folder, name) = self.parent(path)?;
        mkdirat(&folder, name, FOLDER_MODE)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        Ok(openat(&folder, name, flags, Mode::empty())?)
    }

    /// The file at `path`, made empty if it is missing.
    fn file(&self, path: &Path) -> io::Result<OwnedFd> {
        if let Some(found) = self.find(path)? {
            return Ok(found);
        }
        let (folder, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&folder, name, flags, FILE_MODE)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat(&folder, name, flags, Mode::empty())?)
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p Path)> {
        match (path.parent(), path.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => {
                Ok((self.folder(parent)?, Path::new(name)))
            }
            _ => Err(Errno::INVAL.into()),
        }
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A folder of the host.
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// What is at a path of the host, itself even if it is a link.
pub(super) fn look(path: &Path) -> io::Result<Option<Stat>> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}

pub(super) fn is_link(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Symlink
}
