//! Folders of the host that a sandbox's user gets, and gives back.

use std::ffi::{CString, OsStr};
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use pullwright_core::log::now_ms;
use pullwright_core::removal::remove_tree;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, openat, statat,
};

use crate::users;

/// What everybody else needs on a folder to pass through it, and nothing more.
const PASS_THROUGH: u32 = 0o011;
const OTHERS_ENTER: u32 = 0o001;
const PRIVATE: u32 = 0o700;

/// Gives everything in `folder` to `user`. Safe only before an untrusted process has touched it.
pub(crate) fn give(kind: &'static str, folder: &Path, user: u32) -> Result<(), SandboxError> {
    give_all(folder, user).map_err(refused(kind, folder, user))
}

fn refused(kind: &'static str, folder: &Path, user: u32) -> impl FnOnce(io::Error) -> SandboxError {
    move |error| match error.raw_os_error() {
        Some(libc::EINVAL | libc::EPERM) => SandboxError::Refused {
            kind,
            reason: format!("cannot give {} to user {user}: {error}", folder.display()),
            remedy: format!(
                "run the server as an ordinary user, or with CAP_CHOWN, CAP_SETUID, CAP_SETGID and \
                 CAP_KILL where user {user} is mapped"
            ),
        },
        _ => io_error("cannot hand over", folder)(error),
    }
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

/// Lets `user` change what is in `folder` as its owner can, without touching what may be somebody
/// else's: files of other owners, files with a second name that may lie elsewhere, and programs that
/// lend their owner's rights stay as they are.
pub(crate) fn lend(kind: &'static str, folder: &Path, user: u32) -> Result<(), SandboxError> {
    let owner = folder
        .symlink_metadata()
        .map_err(io_error("cannot look at", folder))?
        .uid();
    let user = (Uid::from_raw(user), Gid::from_raw(user));
    let lent = |found: &Stat| {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let is_shared = is_file && (found.st_nlink > 1 || found.st_mode & LENDS_RIGHTS != 0);
        let is_theirs = found.st_uid == owner || users::is_of_runs(found.st_uid);
        (is_theirs && !is_shared).then_some(user)
    };
    change_owners(folder, &lent).map_err(refused(kind, folder, user.0.as_raw()))
}

/// Makes `owner` the owner of everything in `folder` that belongs to a user of runs.
pub(crate) fn take_back(folder: &Path, owner: (u32, u32)) -> io::Result<()> {
    let owner = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    change_owners(folder, &|found| {
        users::is_of_runs(found.st_uid).then_some(owner)
    })
}

/// The bits by which a program runs with the rights of its owner or group.
const LENDS_RIGHTS: u32 = 0o6000;

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

type NewOwner<'a> = &'a dyn Fn(&Stat) -> Option<(Uid, Gid)>;

/// Changes the owners of what is in a folder, never through a link. Safe only when no process can
/// change it meanwhile.
///
/// However deep it is: no path is longer than a name, and one folder is open at a time.
fn change_owners(path: &Path, new_owner: NewOwner<'_>) -> io::Result<()> {
    let mut folder = openat(CWD, path, FOLDER, Mode::empty())?;
    let mut pending = vec![change_entries(&folder, new_owner)?];
    while let Some(folders) = pending.last_mut() {
        match folders.pop() {
            Some(name) => {
                folder = openat(&folder, name, FOLDER, Mode::empty())?;
                pending.push(change_entries(&folder, new_owner)?);
            }
            None => {
                pending.pop();
                folder = openat(&folder, c"..", FOLDER, Mode::empty())?;
            }
        }
    }
    Ok(())
}

/// Changes the owners of a folder's entries, and answers which of them are folders.
fn change_entries(folder: &OwnedFd, new_owner: NewOwner<'_>) -> io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if let Some((user, group)) = new_owner(&found) {
            chownat(
                folder,
                name,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            folders.push(name.to_owned());
        }
    }
    Ok(folders)
}

/// Replaces a hard link by a copy, so that what it shares with a mirror stays the server's. The copy
/// is a new file under a name that nobody can foresee.
fn unshare(path: &Path, found: &Metadata) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut copy = tempfile::NamedTempFile::new_in(folder)?;
    io::copy(&mut fs::File::open(path)?, &mut copy)?;
    copy.as_file().set_permissions(found.permissions())?;
    copy.persist(path)?;
    Ok(())
}

/// How the folder ends in which something is removed.
const REMOVAL: &str = "removal-";

/// Removes the server's own folder of a run.
pub(crate) fn remove_own(folder: &Path) -> Result<(), SandboxError> {
    let beside = folder.with_extension(format!("{REMOVAL}{}", now_ms()));
    match remove_tree(folder, &beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Removes what servers that died were about to remove in the folder of a kind of sandbox.
pub(crate) fn go_on_removing(kind: &Path) {
    for entry in fs::read_dir(kind).into_iter().flatten().flatten() {
        let path = entry.path();
        let end = path.extension().and_then(OsStr::to_str);
        if end.is_some_and(|end| end.starts_with(REMOVAL))
            && let Err(error) = remove_own(&path)
        {
            tracing::warn!(%error, "what an earlier server was about to remove stays");
        }
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
    fn a_tree_of_any_depth_is_walked() {
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
        let seen = std::cell::Cell::new(0);
        let count = |_: &Stat| {
            seen.set(seen.get() + 1);
            None
        };
        change_owners(&tree, &count).unwrap();
        assert_eq!(seen.get(), 5001);
        remove_tree(&tree, &root.path().join("trash")).unwrap();
    }

    #[test]
    fn only_what_is_the_owner_s_alone_is_lent_and_it_comes_back() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        fs::create_dir_all(folder.join("sub")).unwrap();
        for name in ["plain", "shared", "setuid", "foreign", "sub/inner"] {
            fs::write(folder.join(name), name).unwrap();
        }
        fs::hard_link(folder.join("shared"), root.path().join("outside")).unwrap();
        fs::set_permissions(folder.join("setuid"), Permissions::from_mode(0o4755)).unwrap();
        lchown(folder.join("foreign"), Some(1234), Some(1234)).unwrap();
        std::os::unix::fs::symlink(root.path().join("outside"), folder.join("link")).unwrap();
        let owner = |name: &str| folder.join(name).symlink_metadata().unwrap().uid();
        let owners = || ["plain", "sub/inner", "link", "shared", "setuid", "foreign"].map(owner);
        let outside = || root.path().join("outside").metadata().unwrap().uid();

        lend("local", &folder, 400_001).unwrap();
        assert_eq!(owners(), [400_001, 400_001, 400_001, 0, 0, 1234]);
        assert_eq!(outside(), 0);
        // A program that the sandbox's user left, with their rights.
        fs::write(folder.join("left"), "").unwrap();
        lchown(folder.join("left"), Some(400_001), Some(400_001)).unwrap();
        fs::set_permissions(folder.join("left"), Permissions::from_mode(0o6755)).unwrap();

        take_back(&folder, (0, 0)).unwrap();
        assert_eq!(owners(), [0, 0, 0, 0, 0, 1234]);
        let mode = |name: &str| folder.join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode("left"), mode("setuid")), (0o755, 0o4755));
    }

    #[test]
    fn a_link_that_waits_for_a_copy_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::write(&a, "content").unwrap();
        fs::hard_link(&a, &b).unwrap();
        let victim = root.path().join("victim");
        let foreseen = format!(".pullwright-copy-{}", a.metadata().unwrap().ino());
        std::os::unix::fs::symlink(&victim, root.path().join(foreseen)).unwrap();
        unshare(&a, &a.metadata().unwrap()).unwrap();
        assert!(!victim.exists());
        assert_eq!(a.metadata().unwrap().nlink(), 1);
        assert_eq!(fs::read_to_string(&a).unwrap(), "content");
    }
}
