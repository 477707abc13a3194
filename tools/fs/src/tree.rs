//! The files of the workspace, as `.gitignore` leaves them.

use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

/// A part of the workspace to walk through.
pub(crate) struct Tree {
    root: PathBuf,
    builder: WalkBuilder,
}

impl Tree {
    /// The files below `below`, which is relative to `root`. The walk starts at the root even so,
    /// because that is where the rules of `.gitignore` begin; it never looks above.
    pub(crate) fn new(root: &Path, below: &Path, include_ignored: bool) -> Self {
        let (base, below) = (root.to_owned(), below.to_owned());
        let mut builder = WalkBuilder::new(root);
        builder
            .hidden(false)
            .parents(false)
            .ignore(!include_ignored)
            .git_ignore(!include_ignored)
            .git_exclude(!include_ignored)
            .git_global(false)
            .require_git(false)
            .follow_links(false)
            .sort_by_file_name(std::ffi::OsStr::cmp)
            .filter_entry(move |entry| is_wanted(entry, &base, &below));
        Self {
            root: root.to_owned(),
            builder,
        }
    }

    /// Their paths relative to the workspace, in a fixed order. Symlinks are named, not followed.
    /// Folders that cannot be read are passed over.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.builder.build().flatten().filter_map(|entry| {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                return None;
            }
            entry
                .path()
                .strip_prefix(&self.root)
                .ok()
                .map(Path::to_owned)
        })
    }
}

/// Whether the entry is on the way to, or below, what was asked for; git's own files never are.
fn is_wanted(entry: &DirEntry, root: &Path, below: &Path) -> bool {
    let Ok(path) = entry.path().strip_prefix(root) else {
        return false;
    };
    entry.file_name() != ".git" && (path.starts_with(below) || below.starts_with(path))
}
