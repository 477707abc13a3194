//! Paths inside the workspace, opened so that no symlink leads out of it, not even in a race.
//!
//! A path is never resolved by name twice: [`Workspace::locate`] opens the folder that holds the
//! thing, and everything after goes through that open folder ([`Place`]).

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::call::Refusal;

mod place;
mod walk;

pub use place::Place;
pub use walk::NewFolders;

/// The folder a tool server works in.
#[derive(Clone, Debug)]
pub struct Workspace {
    given: PathBuf,
    root: PathBuf,
}

/// Why a path cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It cannot be a path at all.
    #[error("{0:?} is not a path: {1}")]
    Unusable(String, &'static str),
    /// It points outside as written.
    #[error("`{path}` is outside the workspace {}; give a path inside it", root.display())]
    Outside {
        /// The path as given.
        path: String,
        /// The workspace.
        root: PathBuf,
    },
    /// A symlink on the way points outside.
    #[error("`{path}` leads out of the workspace through the symlink `{}`; such links are not followed", link.display())]
    LeadsOut {
        /// The path as given.
        path: String,
        /// The link, relative to the workspace.
        link: PathBuf,
    },
    /// It would change git's own files.
    #[error("`{0}` is inside `.git`, which the file tools never write; use git commands instead")]
    GitFolder(String),
    /// It, or a folder on the way to it, does not exist.
    #[error("`{path}` does not exist")]
    Missing {
        /// The path as given.
        path: String,
        /// The first part that does not exist, relative to the workspace.
        part: PathBuf,
    },
    /// It is something else than the tool works on.
    #[error("`{path}` is {kind}, not {wanted}")]
    WrongKind {
        /// The path as given.
        path: String,
        /// What it is.
        kind: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// The system refuses it.
    #[error("cannot open `{path}`: {source}")]
    Io {
        /// The path as given.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

impl Workspace {
    /// The workspace at `root`. It is opened anew for each call, so it may appear later.
    #[must_use]
    pub fn new(given: PathBuf) -> Self {
        let root = given.canonicalize().unwrap_or_else(|_| given.clone());
        Self { given, root }
    }

    /// Its path without symlinks.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Finds `path`, absolute inside the workspace or relative to it, following the symlinks that
    /// stay inside. The last part need not exist.
    ///
    /// # Errors
    /// When the path leaves the workspace, or a folder on the way does not exist.
    pub fn locate(&self, path: &str) -> Result<Place, PathError> {
        walk::locate(self, path, &self.relative(path)?)
    }

    /// Finds `path` to write a file there, making the folders on the way. They vanish again when
    /// the returned [`NewFolders`] is dropped without [`NewFolders::keep`].
    ///
    /// # Errors
    /// As [`Workspace::locate`], and when the path names a folder or lies inside `.git`.
    pub fn locate_for_writing(&self, path: &str) -> Result<(Place, NewFolders), PathError> {
        let relative = self.relative(path)?;
        let names_folder = path.ends_with('/') || relative.as_os_str().is_empty();
        if names_folder {
            return Err(PathError::WrongKind {
                path: path.to_owned(),
                kind: "a folder",
                wanted: "a file",
            });
        }
        walk::locate_for_writing(self, path, &relative)
    }

    /// `path` relative to the root; whether it escapes by `..` is seen from the text alone.
    fn relative(&self, path: &str) -> Result<PathBuf, PathError> {
        if path.is_empty() {
            return Err(PathError::Unusable(String::new(), "it is empty"));
        }
        if path.contains('\0') {
            return Err(PathError::Unusable(path.to_owned(), "it holds a NUL byte"));
        }
        let outside = || PathError::Outside {
            path: path.to_owned(),
            root: self.root.clone(),
        };
        let inner = self.strip_root(Path::new(path)).ok_or_else(outside)?;
        let mut depth = 0_usize;
        for component in inner.components() {
            depth = match component {
                Component::Normal(_) => depth + 1,
                Component::ParentDir => depth.checked_sub(1).ok_or_else(outside)?,
                Component::CurDir | Component::RootDir | Component::Prefix(_) => depth,
            };
        }
        Ok(inner
            .components()
            .filter(|c| *c != Component::CurDir)
            .collect())
    }

    /// `path` without the root in front of it, if it is relative or inside.
    fn strip_root<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        if path.is_relative() {
            return Some(path);
        }
        let roots = [&self.given, &self.root];
        roots
            .into_iter()
            .find_map(|root| path.strip_prefix(root).ok())
    }
}

impl PathError {
    fn io(path: &str, error: impl Into<io::Error>) -> Self {
        Self::Io {
            path: path.to_owned(),
            source: error.into(),
        }
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::new(error.to_string())
    }
}
