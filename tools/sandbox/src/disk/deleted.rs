//! Files without a name that processes keep: no walk finds them, and they fill the disk all the same.

use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::fstat;

use super::walk::BLOCK_BYTES;
use super::{Usage, WalkBudget};

/// How the kernel marks the path of a file that has none.
const MARK: &[u8] = b" (deleted)";

pub(super) fn deleted(proc: &Path, folders: &[OwnedFd], budget: &WalkBudget) -> Usage {
    let stats = folders.iter().filter_map(|folder| fstat(folder).ok());
    let mut look = Look {
        devices: stats.map(|stat| stat.st_dev).collect(),
        seen: HashSet::new(),
        usage: Usage {
            complete: true,
            ..Usage::default()
        },
    };
    let start = Instant::now();
    let mut looked = 0;
    for descriptors in processes(proc) {
        match fs::read_dir(descriptors) {
            Ok(entries) => {
                for entry in entries.flatten() {
                    looked += 1;
                    look.at(&entry.path());
                }
            }
            // It has ended.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => look.usage.complete = false,
        }
        if looked > budget.entries || start.elapsed() > budget.time {
            look.usage.complete = false;
            break;
        }
    }
    look.usage
}

struct Look {
    devices: HashSet<u64>,
    seen: HashSet<(u64, u64)>,
    usage: Usage,
}

impl Look {
    fn at(&mut self, descriptor: &Path) {
        // The name first: it never waits, while a look at the file may, on some file systems.
        let marked =
            fs::read_link(descriptor).is_ok_and(|path| path.as_os_str().as_bytes().ends_with(MARK));
        if !marked {
            return;
        }
        let Ok(found) = fs::metadata(descriptor) else {
            return;
        };
        let unnamed = found.nlink() == 0 && self.devices.contains(&found.dev());
        if unnamed && self.seen.insert((found.dev(), found.ino())) {
            self.usage.files += 1;
            self.usage.bytes += found.blocks() * BLOCK_BYTES;
        }
    }
}

/// The folders of descriptors of every process.
fn processes(proc: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(move |entry| entry.file_name().to_str().is_some_and(is_process))
        .map(|entry| entry.path().join("fd"))
}
