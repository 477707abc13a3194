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
    /// The folder `name` in `parent`. `None` if it has gone, is none any more, something is mounted
    /// there, or it is another owner's and closed.
    pub(super) fn open(parent: &OwnedFd, name: &CStr, device: u64) -> Result<Option<Self>, Errno> {
        let opened = match open(parent, name, OFlags::RDONLY) {
            Ok(fd) => Self::held(fd, None).map(Some),
            Err(Errno::ACCESS) => {
                open(parent, name, OFlags::PATH).and_then(|held| Self::unlocked(&held))
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok(found) => Ok(found.filter(|directory| directory.id.0 == device)),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(error) if is_vanished(error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder that `child` is in, if it is still the one that is expected.
    pub(super) fn above(child: &OwnedFd, expected: Id) -> Option<OwnedFd> {
        let fd = openat(child, c"..", FOLDER, Mode::empty()).ok()?;
        (id(&fstat(&fd).ok()?) == expected).then_some(fd)
    }

    /// A folder that is held already. `None` as above.
    pub(super) fn root(fd: &OwnedFd) -> Result<Option<Self>, Errno> {
        let opened = match openat(fd, c".", FOLDER, Mode::empty()) {
            Ok(again) => Self::held(again, None).map(Some),
            Err(Errno::ACCESS) => Self::unlocked(fd),
            Err(error) => Err(error),
        };
        match opened {
            Err(error) if is_vanished(error) => Ok(None),
            opened => opened,
        }
    }

    /// A folder that may not be opened. `None` if it is another owner's, in which this user cannot
    /// write either.
    fn unlocked(held: &OwnedFd) -> Result<Option<Self>, Errno> {
        if !is_own(&fstat(held)?) {
            return Ok(None);
        }
        let (fd, closed) = unlock(held)?;
        Self::held(fd, Some(closed)).map(Some)
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
fn unlock(held: &OwnedFd) -> Result<(OwnedFd, Mode), Errno> {
    let before = Mode::from_raw_mode(fstat(held)?.st_mode);
    // By this name it is the folder that is held, whatever has its own name by now.
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    chmod(path, before | LOOK)?;
    let opened = openat(held, c".", FOLDER, Mode::empty())?;
    Ok((opened, before))
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

/// What was there a moment ago was removed: it takes no room.
pub(super) fn is_vanished(error: Errno) -> bool {
    // Network file systems say it the second way.
    matches!(error, Errno::NOENT | Errno::STALE)
}

/// Whether an error in reading a folder hides nothing that the sandbox could have written. Its own
/// folders it can close while they are read, so those count as not looked at.
pub(super) fn may_be_skipped(folder: &OwnedFd, error: Errno) -> bool {
    let is_others = || fstat(folder).is_ok_and(|stat| !is_own(&stat));
    is_vanished(error) || error == Errno::ACCESS && is_others()
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
