//! A folder on the way, held by its descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, Stat, chmod, fchmod, fstat, openat, openat2};
use rustix::io::Errno;

/// The device and the number of a file.
pub(super) type Id = (u64, u64);

/// What a folder must allow its owner for it to be looked at.
const LOOK: Mode = Mode::RUSR.union(Mode::XUSR);

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open folder.
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) id: Id,
    pub(super) blocks: u64,
    /// What it allowed before it was opened for the look.
    pub(super) closed: Option<Mode>,
}

impl Directory {
    /// The folder `name` in `parent`. `None` if it has gone, is none any more, or something is
    /// mounted there.
    pub(super) fn open(parent: &OwnedFd, name: &CStr, device: u64) -> Result<Option<Self>, Errno> {
        let (fd, closed) = match open(parent, name, OFlags::RDONLY) {
            Ok(fd) => (fd, None),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(Errno::ACCESS) => unlock(&open(parent, name, OFlags::PATH)?)?,
            Err(error) => return Err(error),
        };
        let directory = Self::held(fd, closed)?;
        Ok((directory.id.0 == device).then_some(directory))
    }

    /// The folder that `child` is in, if it is still the one that is expected.
    pub(super) fn above(child: &OwnedFd, expected: Id) -> Option<OwnedFd> {
        let fd = openat(child, c"..", FOLDER, Mode::empty()).ok()?;
        (id(&fstat(&fd).ok()?) == expected).then_some(fd)
    }

    /// A folder that is open already.
    pub(super) fn root(fd: &OwnedFd) -> Result<Self, Errno> {
        let (again, closed) = match openat(fd, c".", FOLDER, Mode::empty()) {
            Ok(again) => (again, None),
            Err(Errno::ACCESS) => unlock(fd)?,
            Err(error) => return Err(error),
        };
        Self::held(again, closed)
    }

    fn held(fd: OwnedFd, closed: Option<Mode>) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        // One that can be read but not entered tells names and nothing else.
        let opened = closed.is_none() && !mode.contains(LOOK) && is_own(&stat);
        if opened {
            fchmod(&fd, mode | LOOK)?;
        }
        Ok(Self {
            fd,
            id: id(&stat),
            blocks: blocks(&stat),
            closed: if opened { Some(mode) } else { closed },
        })
    }
}

/// Gives a folder back what it allowed, unless somebody changed it meanwhile.
pub(super) fn close_again(fd: impl AsFd, before: Mode) {
    let now = fstat(&fd).map(|stat| Mode::from_raw_mode(stat.st_mode));
    if now == Ok(before | LOOK) {
        // It is gone, or the sandbox's own to mend.
        let _ = fchmod(fd, before);
    }
}

/// Opens a folder of this user that may not be opened. Answers what it allowed before.
fn unlock(held: &OwnedFd) -> Result<(OwnedFd, Option<Mode>), Errno> {
    let stat = fstat(held)?;
    if !is_own(&stat) {
        return Err(Errno::ACCESS);
    }
    let before = Mode::from_raw_mode(stat.st_mode);
    // By this name it is the folder that is held, whatever has its own name by now.
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    chmod(path, before | LOOK)?;
    let opened = openat(held, c".", FOLDER, Mode::empty())?;
    Ok((opened, Some(before)))
}

/// Follows no link and enters no mount.
fn open(parent: &OwnedFd, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | FOLDER;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match openat2(parent, name, flags, Mode::empty(), resolve) {
        // Kernels before 5.6 do not know it, and filters of containers may not.
        Err(Errno::NOSYS | Errno::PERM) => openat(parent, name, flags, Mode::empty()),
        opened => opened,
    }
}

pub(super) fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn blocks(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default()
}

fn is_own(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

/// The names of folders that are still to be entered, one after the other in one piece of memory:
/// there can be very many.
#[derive(Default)]
pub(super) struct Names(Vec<u8>);

impl Names {
    pub(super) fn push(&mut self, name: &CStr) {
        self.0.extend_from_slice(name.to_bytes_with_nul());
    }

    pub(super) fn pop(&mut self) -> Option<CString> {
        self.0.pop()?;
        let start = self.0.iter().rposition(|byte| *byte == 0);
        let name = self.0.split_off(start.map_or(0, |end| end + 1));
        CString::new(name).ok()
    }

    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_last_first() {
        let mut names = Names::default();
        for name in [c"a", c"bc", c"\xff d"] {
            names.push(name);
        }
        let back: Vec<CString> = std::iter::from_fn(|| names.pop()).collect();
        assert_eq!(
            back,
            [c"\xff d".to_owned(), c"bc".to_owned(), c"a".to_owned()]
        );
    }
}
