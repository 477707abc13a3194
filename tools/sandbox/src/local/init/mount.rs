//! Mounts that are made before they have a place, then put there.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// No privileged programs, no devices.
pub(super) const PLAIN: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// The same, and no change.
pub(super) const READ_ONLY: MountAttrFlags = PLAIN.union(MountAttrFlags::MOUNT_ATTR_RDONLY);
/// The same, and nothing to run.
pub(super) const DATA: MountAttrFlags = PLAIN.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A copy of what is mounted at `path` and below. The last part of the path must not be a link.
pub(super) fn copy(path: &Path) -> io::Result<OwnedFd> {
    copy_at(CWD, path, OpenTreeFlags::AT_SYMLINK_NOFOLLOW)
}

/// The same of what `at` is.
pub(super) fn copy_of(at: impl AsFd) -> io::Result<OwnedFd> {
    copy_at(at, Path::new(""), OpenTreeFlags::AT_EMPTY_PATH)
}

/// Recursive, since the kernel copies no part of what it had mounted for a more privileged user.
fn copy_at(at: impl AsFd, path: &Path, flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    let copied = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(at, path, copied | flags)?)
}

/// A new file system.
pub(super) fn new(
    kind: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// A new file system in memory.
pub(super) fn memory(bytes: u64, mode: &str, flags: MountAttrFlags) -> io::Result<OwnedFd> {
    // An empty file costs about as much as a page.
    let files = (bytes / PAGE_BYTES).max(FEWEST_FILES);
    let (bytes, files) = (bytes.to_string(), files.to_string());
    let options = [
        ("size", bytes.as_str()),
        ("nr_inodes", &files),
        ("mode", mode),
    ];
    new("tmpfs", &options, flags)
}

const PAGE_BYTES: u64 = 4096;
const FEWEST_FILES: u64 = 1024;

/// Puts a mount onto `target`, a file or folder as the mount is.
pub(super) fn put(mount: impl AsFd, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// Adds `flags` to a mount and to all below it.
pub(super) fn restrict_all(mount: impl AsFd, flags: MountAttrFlags) -> io::Result<()> {
    set_attributes(mount.as_fd(), flags, libc::AT_RECURSIVE)
}

/// Adds `flags` to a mount alone.
pub(super) fn restrict(mount: impl AsFd, flags: MountAttrFlags) -> io::Result<()> {
    set_attributes(mount.as_fd(), flags, 0)
}

#[expect(unsafe_code, reason = "no crate here offers mount_setattr")]
fn set_attributes(mount: BorrowedFd<'_>, set: MountAttrFlags, how: libc::c_int) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is an empty C string, and the kernel reads a structure of the given size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | how,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    match done < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
