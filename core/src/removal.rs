//! Removes a folder that untrusted processes have written.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes `folder` and everything in it, whatever it holds. `beside` is a folder of our own on the
/// same file system, which must not exist; it is gone afterwards.
///
/// The usual recursive removal uses the stack, a descriptor and a longer path for each level, and a
/// tree can be made deep enough to exhaust any of them. Here every folder is moved to the top of
/// `beside` before it is emptied, so no path is longer than two names. Links are removed, never
/// followed. No process may be writing there any more.
///
/// # Errors
/// The first thing that cannot be removed.
pub fn remove_tree(folder: &Path, beside: &Path) -> io::Result<()> {
    fs::create_dir(beside)?;
    if let Err(error) = fs::rename(folder, beside.join("0")) {
        fs::remove_dir(beside)?;
        return Err(error);
    }
    let (mut next, mut last) = (0_u64, 0_u64);
    while next <= last {
        last = empty(beside, next, last)?;
        fs::remove_dir(beside.join(next.to_string()))?;
        next += 1;
    }
    fs::remove_dir(beside)
}

/// Empties the folder numbered `number`; its own folders get the numbers after `last`.
fn empty(beside: &Path, number: u64, mut last: u64) -> io::Result<u64> {
    let folder = beside.join(number.to_string());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(&folder)?;
            fs::read_dir(&folder)?
        }
        entries => entries?,
    };
    // A folder without write permission keeps its entries.
    open_up(&folder)?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // Moving a folder changes its `..`, which takes write permission on it.
            open_up(&entry.path())?;
            last += 1;
            fs::rename(entry.path(), beside.join(last.to_string()))?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(last)
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_tree_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::write(&outside, "stays").unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("a/b/closed")).unwrap();
        fs::write(tree.join("a/b/closed/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        std::os::unix::fs::symlink(root.path(), tree.join("a/folder-link")).unwrap();
        fs::set_permissions(tree.join("a/b/closed"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree, &root.path().join("trash")).unwrap();
        let left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["outside"]);
        assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
    }

    /// So deep that a path to the bottom is longer than the kernel takes, and that one frame of the
    /// stack per level would not fit.
    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        // Built from the bottom up, because no path could reach it from the top.
        for _ in 0..20_000 {
            let above = root.path().join("above");
            fs::create_dir(&above).unwrap();
            fs::rename(&tree, above.join("d")).unwrap();
            fs::rename(&above, &tree).unwrap();
        }
        remove_tree(&tree, &root.path().join("trash")).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let missing = remove_tree(&root.path().join("none"), &root.path().join("trash"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
