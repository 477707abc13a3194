//! Looks at every file below some folders.
//!
//! The way down is kept as a stack, of which only the first folders stay open: further down, the
//! way back is `..`, checked against the folder that was left. So neither the depth nor the breadth
//! of what a hostile sandbox makes takes more than a few descriptors.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, Mode, RawDir, Stat, statat};
use rustix::io::Errno;

use super::directory::{
    Directory, Id, Names, blocks, close_again, id, is_vanished, may_be_skipped,
};
use super::{Usage, WalkBudget};

/// The unit of `st_blocks`, whatever the file system's own is.
pub(super) const BLOCK_BYTES: u64 = 512;

/// How many folders of the way down stay open.
const HELD: usize = 64;

/// How much memory the names of folders to come may take; more are not entered.
const MAX_NAME_BYTES: usize = 32 << 20;

/// How many files with several names are told apart; beyond, each name counts for its share.
const MAX_LINKED: usize = 1 << 20;

/// The size of one read of a folder.
const READ_BYTES: usize = 32 << 10;

/// How many entries are looked at between two looks at the clock.
const ENTRIES_PER_LOOK: u64 = 256;

pub(super) fn walk(folders: &[OwnedFd], budget: &WalkBudget) -> Usage {
    let mut walk = Walk::new(budget);
    let mut roots = Vec::new();
    for folder in folders {
        match Directory::root(folder) {
            Ok(Some(root)) if walk.roots.insert(root.id) => roots.push(root),
            Ok(_) => {}
            Err(_) => walk.usage.complete = false,
        }
    }
    for root in roots {
        walk.enter_root(root);
    }
    walk.usage
}

struct Walk<'b> {
    budget: &'b WalkBudget,
    start: Instant,
    usage: Usage,
    /// The budget is used up.
    stopped: bool,
    stack: Vec<Frame>,
    name_bytes: usize,
    linked: HashSet<Id>,
    /// The folders to look at: one can lie in another.
    roots: HashSet<Id>,
    buffer: Vec<u8>,
}

/// A folder on the way down.
struct Frame {
    id: Id,
    /// `None` while something deeper is looked at.
    fd: Option<OwnedFd>,
    closed: Option<Mode>,
    /// The folders in it that are still to come.
    names: Names,
}

impl<'b> Walk<'b> {
    fn new(budget: &'b WalkBudget) -> Self {
        Self {
            budget,
            start: Instant::now(),
            usage: Usage {
                complete: true,
                ..Usage::default()
            },
            stopped: false,
            stack: Vec::new(),
            name_bytes: 0,
            linked: HashSet::new(),
            roots: HashSet::new(),
            buffer: Vec::with_capacity(READ_BYTES),
        }
    }

    fn enter_root(&mut self, root: Directory) {
        self.enter(root);
        while !self.stack.is_empty() {
            if self.stopped && self.stack.iter().all(|frame| frame.closed.is_none()) {
                self.stack.clear();
                break;
            }
            match self.next_name() {
                Some(name) => self.descend(&name),
                None => self.ascend(),
            }
        }
        self.name_bytes = 0;
    }

    fn next_name(&mut self) -> Option<CString> {
        let frame = self.stack.last_mut()?;
        if self.stopped {
            frame.names.clear();
        }
        let name = frame.names.pop()?;
        self.name_bytes = self
            .name_bytes
            .saturating_sub(name.as_bytes_with_nul().len());
        Some(name)
    }

    fn descend(&mut self, name: &CStr) {
        let Some(frame) = self.stack.last() else {
            return;
        };
        let Some(parent) = &frame.fd else { return };
        match Directory::open(parent, name, frame.id.0) {
            Ok(Some(directory)) if !self.roots.contains(&directory.id) => self.enter(directory),
            Ok(_) => {}
            Err(_) => self.usage.complete = false,
        }
    }

    /// Counts what is in a folder, and leaves its folders for later.
    fn enter(&mut self, directory: Directory) {
        let Directory {
            fd,
            id,
            blocks,
            closed,
        } = directory;
        self.count(blocks);
        let (names, read) = self.read(&fd, id.0);
        if read.is_err_and(|error| !may_be_skipped(&fd, error)) {
            self.usage.complete = false;
        }
        if self.stack.len() > HELD
            && let Some(above) = self.stack.last_mut()
        {
            above.fd = None;
        }
        self.stack.push(Frame {
            id,
            fd: Some(fd),
            closed,
            names,
        });
    }

    /// The folders in it, as far as it could be read.
    fn read(&mut self, fd: &OwnedFd, device: u64) -> (Names, Result<(), Errno>) {
        let mut names = Names::default();
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read_into(fd, device, buffer.spare_capacity_mut(), &mut names);
        self.buffer = buffer;
        (names, read)
    }

    fn read_into(
        &mut self,
        fd: &OwnedFd,
        device: u64,
        buffer: &mut [MaybeUninit<u8>],
        names: &mut Names,
    ) -> Result<(), Errno> {
        let mut entries = RawDir::new(fd, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if self.is_over() {
                return Ok(());
            }
            let stat = match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(error) if is_vanished(error) => continue,
                Err(error) => return Err(error),
            };
            if stat.st_dev != device {
                continue;
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.remember(names, name),
                _ => self.count_file(&stat),
            }
        }
        Ok(())
    }

    fn remember(&mut self, names: &mut Names, name: &CStr) {
        if self.name_bytes >= MAX_NAME_BYTES {
            self.usage.complete = false;
            return;
        }
        names.push(name);
        self.name_bytes += name.to_bytes_with_nul().len();
    }

    fn count_file(&mut self, stat: &Stat) {
        if stat.st_nlink <= 1 {
            self.count(blocks(stat));
        } else if self.linked.len() >= MAX_LINKED {
            self.count(share(blocks(stat), stat.st_nlink));
        } else if self.linked.insert(id(stat)) {
            self.count(blocks(stat));
        }
    }

    fn count(&mut self, blocks: u64) {
        self.usage.files += 1;
        let bytes = blocks.saturating_mul(BLOCK_BYTES);
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
    }

    /// Whether to stop. Looks at the clock now and then only.
    fn is_over(&mut self) -> bool {
        let late = self.usage.files.is_multiple_of(ENTRIES_PER_LOOK)
            && self.start.elapsed() > self.budget.time;
        if late
            || self.usage.files >= self.budget.entries
            || self.usage.bytes > self.budget.enough_bytes
        {
            self.stopped = true;
            self.usage.complete = false;
        }
        self.stopped
    }

    /// Leaves a folder for the one above.
    fn ascend(&mut self) {
        let Some(done) = self.stack.pop() else { return };
        let Some(fd) = done.fd else { return };
        let lost = match self.stack.last_mut() {
            Some(above) if above.fd.is_none() => {
                above.fd = Directory::above(&fd, above.id);
                above.fd.is_none()
            }
            _ => false,
        };
        if let Some(before) = done.closed {
            close_again(&fd, before);
        }
        if lost {
            // It was moved elsewhere. The way goes on from the last folder that is still open.
            self.usage.complete = false;
            self.stack.truncate(HELD);
        }
    }
}

/// Systems differ in the size of the number of names.
fn share(blocks: u64, names: impl Into<u64>) -> u64 {
    blocks / names.into().max(1)
}
