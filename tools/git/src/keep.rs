//! Keeps the objects of the base outside the workspace, before anything untrusted has run there.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use crate::error::{WorkspaceError, io_error};

/// Folders of an object store are two levels deep; more would not be one.
const MAX_DEPTH: usize = 4;

/// Links the object store of the workspace at `root` into `kept`, so that [`crate::export`] finds the
/// base there when an agent has removed or replaced the workspace's own repository. Where links are
/// not possible the files are copied. Objects are checked by their hash when they are read.
///
/// # Errors
/// When there is no object store, or `kept` cannot be written.
pub fn keep(root: &Path, kept: &Path) -> Result<(), WorkspaceError> {
    let objects = root.join(".git/objects");
    link_folder(&objects, &kept.join("objects"), 0)
        .map_err(io_error("keep the objects of", &objects))
}

fn link_folder(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        link_entry(&entry?, to, depth)?;
    }
    Ok(())
}

fn link_entry(entry: &DirEntry, folder: &Path, depth: usize) -> io::Result<()> {
    let to = folder.join(entry.file_name());
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return link_folder(&entry.path(), &to, depth + 1);
    }
    if !kind.is_file() || to.exists() {
        return Ok(());
    }
    fs::hard_link(entry.path(), &to).or_else(|_| fs::copy(entry.path(), &to).map(drop))
}
