//! A thing in the workspace: the open folder that holds it, and its name there.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::PathError;
use super::walk::is_git;

/// A thing in the workspace, which need not exist. Nothing done through it can leave the folder it
/// was found in.
#[derive(Debug)]
pub struct Place {
    given: String,
    path: PathBuf,
    dir: OwnedFd,
    is_folder: bool,
}

impl Place {
    pub(super) fn new(given: &str, path: PathBuf, dir: OwnedFd) -> Self {
        Self {
            given: given.to_owned(),
            path,
            dir,
            is_folder: false,
        }
    }

    /// A place that is `dir` itself.
    pub(super) fn folder(given: &str, path: PathBuf, dir: OwnedFd) -> Self {
        Self {
            is_folder: true,
            ..Self::new(given, path, dir)
        }
    }

    /// Where it really is, relative to the workspace; empty for the workspace itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that holds it.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its name in [`Place::dir`].
    #[must_use]
    pub fn name(&self) -> &OsStr {
        match self.path.file_name() {
            Some(name) if !self.is_folder => name,
            _ => OsStr::new("."),
        }
    }

    /// The same place, if the file tools may write there.
    ///
    /// # Errors
    /// When it lies inside `.git`.
    pub fn writable(self) -> Result<Self, PathError> {
        match self.path.iter().any(is_git) {
            true => Err(PathError::GitFolder(self.given)),
            false => Ok(self),
        }
    }

    /// What is there now; a symlink put there meanwhile is not followed.
    ///
    /// # Errors
    /// When nothing is there, or the system refuses.
    pub fn stat(&self) -> Result<Stat, PathError> {
        rustix::fs::statat(&self.dir, self.name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.error(error))
    }

    /// Opens it for reading. Only a regular file is opened: a FIFO would hang and a device might
    /// act.
    ///
    /// # Errors
    /// When it is missing, not a regular file, or not readable.
    pub fn open_file(&self) -> Result<(File, Stat), PathError> {
        self.expect_file(&self.stat()?)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, self.name(), flags, Mode::empty())
            .map_err(|error| self.error(error))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| self.error(error))?;
        self.expect_file(&stat)?;
        Ok((file.into(), stat))
    }

    /// Opens it as a folder.
    ///
    /// # Errors
    /// When it is missing or not a folder.
    pub fn open_folder(&self) -> Result<OwnedFd, PathError> {
        let kind = FileType::from_raw_mode(self.stat()?.st_mode);
        if kind != FileType::Directory {
            return Err(self.wrong_kind(kind, "a folder"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, self.name(), flags, Mode::empty())
            .map_err(|error| self.error(error))
    }

    fn expect_file(&self, stat: &Stat) -> Result<(), PathError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(()),
            kind => Err(self.wrong_kind(kind, "a regular file")),
        }
    }

    fn wrong_kind(&self, kind: FileType, wanted: &'static str) -> PathError {
        let kind = match kind {
            FileType::RegularFile => "a file",
            FileType::Directory => "a folder",
            FileType::Symlink => "a symlink",
            FileType::Fifo => "a FIFO",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::Unknown => "of an unknown kind",
        };
        PathError::WrongKind {
            path: self.given.clone(),
            kind,
            wanted,
        }
    }

    fn error(&self, error: Errno) -> PathError {
        match error {
            Errno::NOENT => PathError::Missing {
                path: self.given.clone(),
                part: self.path.clone(),
            },
            error => PathError::io(&self.given, error),
        }
    }
}
