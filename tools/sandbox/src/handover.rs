//! Folders of the host that a sandbox's user gets, and gives back.

use std::ffi::CString;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use pullwright_core::removal::remove_tree;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::path::Arg;

/// What everybody else needs on a folder to pass through it, and nothing more.
const PASS_THROUGH: u32 = 0o011;
const OTHERS_ENTER: u32 = 0o001;
const PRIVATE: u32 = 0o700;

/// Gives everything in `folder` to `user`. Safe only before an untrusted process has touched it.
pub(crate) fn give(kind: &'static str, folder: &Path, user: u32) -> Result<(), SandboxError> {
    give_all(folder, user).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL | libc::EPERM) => SandboxError::Refused {
            kind,
            reason: format!("cannot give {} to user {user}: {error}", folder.display()),
            remedy: format!(
                "run the server as an ordinary user, or with CAP_CHOWN, CAP_SETUID, CAP_SETGID and \
                 CAP_KILL where user {user} is mapped"
            ),
        },
        _ => io_error("cannot hand over", folder)(error),
    })
}

/// The first folder on the way to `path`, itself included, that other users cannot enter.
pub(crate) fn closed_folder(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut way: Vec<_> = path.ancestors().collect();
    way.reverse();
    let closed = |folder: &&&Path| {
        fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.mode() & OTHERS_ENTER == 0)
    };
    way.iter().find(closed).map(|folder| folder.to_path_buf())
}

/// Lets other users pass through the folders down to `folder`, inside `data_dir`; outside it they
/// are somebody else's.
pub(crate) fn open_way(
    kind: &'static str,
    folder: &Path,
    data_dir: &Path,
) -> Result<(), SandboxError> {
    while let Some(closed) = closed_folder(folder) {
        let data_dir = data_dir
            .canonicalize()
            .unwrap_or_else(|_| data_dir.to_owned());
        if !closed.starts_with(&data_dir) {
            return Err(SandboxError::Refused {
                kind,
                reason: format!("a run's own user cannot enter {}", closed.display()),
                remedy: format!(
                    "put `[server] data_dir` elsewhere, or run `chmod o+x {}`",
                    closed.display()
                ),
            });
        }
        let found = fs::metadata(&closed).map_err(io_error("cannot look at", &closed))?;
        let mode = Permissions::from_mode(found.mode() & 0o7777 | PASS_THROUGH);
        fs::set_permissions(&closed, mode)
            .map_err(io_error("cannot open the way into", &closed))?;
    }
    Ok(())
}

/// A run's id as a folder's name.
pub(crate) fn folder_name<'r>(kind: &'static str, run: &'r RunId) -> Result<&'r str, SandboxError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !run.0.is_empty() && run.0.chars().all(plain) {
        return Ok(&run.0);
    }
    Err(SandboxError::Refused {
        kind,
        reason: format!("the run's id {:?} cannot name a folder", run.0),
        remedy: "use letters, digits and dashes".to_owned(),
    })
}

/// Makes a folder that only `user`, or only the server, can enter.
pub(crate) fn make_private(folder: &Path, user: Option<u32>) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(folder)?;
    match user {
        Some(user) => take_top(folder, user),
        None => Ok(()),
    }
}

pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Makes `user` the owner of a folder, whose inside is then theirs alone.
pub(crate) fn take_top(folder: &Path, user: u32) -> io::Result<()> {
    check_folder(folder)?;
    lchown(folder, Some(user), Some(user))?;
    fs::set_permissions(folder, Permissions::from_mode(PRIVATE))
}

fn give_all(path: &Path, user: u32) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path(), user)?;
        }
    } else if found.is_file() && found.nlink() > 1 {
        unshare(path, &found)?;
    }
    lchown(path, Some(user), Some(user))
}

/// Makes `owner` the owner of a folder and of all in it, and changes nothing else. Safe only when no
/// process can change it meanwhile.
///
/// However deep it is: no path is longer than a name, and one folder is open at a time.
pub(crate) fn take_all(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    let owner = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    take(CWD, path, owner)?;
    let mut folder = openat(CWD, path, FOLDER, Mode::empty())?;
    let mut pending = vec![take_entries(&folder, owner)?];
    while let Some(folders) = pending.last_mut() {
        match folders.pop() {
            Some(name) => {
                folder = openat(&folder, name, FOLDER, Mode::empty())?;
                pending.push(take_entries(&folder, owner)?);
            }
            None => {
                pending.pop();
                folder = openat(&folder, c"..", FOLDER, Mode::empty())?;
            }
        }
    }
    Ok(())
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Takes what is in a folder, and answers which of it are folders.
fn take_entries(folder: &OwnedFd, owner: (Uid, Gid)) -> io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        take(folder, name, owner)?;
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            folders.push(name.to_owned());
        }
    }
    Ok(folders)
}

/// Changes the owner of what is there, itself if it is a link.
fn take(folder: impl AsFd, name: impl Arg, (user, group): (Uid, Gid)) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(chownat(folder, name, Some(user), Some(group), flags)?)
}

/// Replaces a hard link by a copy, so that what it shares with a mirror stays the server's.
fn unshare(path: &Path, found: &Metadata) -> io::Result<()> {
    let copy = path.with_file_name(format!(".pullwright-copy-{}", found.ino()));
    fs::copy(path, &copy)?;
    fs::set_permissions(&copy, found.permissions())?;
    fs::rename(&copy, path)
}

/// Removes the server's own folder of a run.
pub(crate) fn remove_own(folder: &Path) -> Result<(), SandboxError> {
    match remove_tree(folder, &folder.with_extension("removal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn io_error<'p>(
    what: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> SandboxError + 'p {
    move |source| SandboxError::Io {
        what: format!("{what} {}", path.display()),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_any_depth_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink("/nowhere", tree.join("link")).unwrap();
        // Built from the bottom up, because no path could reach it from the top.
        for _ in 0..5000 {
            let above = root.path().join("above");
            fs::create_dir(&above).unwrap();
            fs::rename(&tree, above.join("d")).unwrap();
            fs::rename(&above, &tree).unwrap();
        }
        let own = fs::metadata(&tree).unwrap();
        take_all(&tree, (own.uid(), own.gid())).unwrap();
        remove_tree(&tree, &root.path().join("trash")).unwrap();
    }
}
