//! `/proc`: this sandbox's processes, and no switch of the kernel.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::mount::{self, DATA};
use super::tree::{Tree, is_folder};
use crate::local::step::{During as _, Failure, Step};

/// Settings of the whole kernel. User ids alone would keep most of them from being written.
const READ_ONLY: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// What tells about the machine, its memory, its keys or other users. Neither files nor folders
/// here are needed by a program.
const MASKED: [&str; 15] = [
    "acpi",
    "asound",
    "config.gz",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
];

pub(super) fn mount(tree: &Tree) -> Result<(), Failure> {
    let detail = || "make a /proc of its own".to_owned();
    let proc = mount::new("proc", &[], DATA).during(Step::Proc, detail)?;
    tree.mount_folder(&proc, Path::new("proc"))?;
    forbid_namespaces(tree).during(Step::Proc, || "forbid further user namespaces".to_owned())?;
    for name in READ_ONLY {
        seal(tree, name).during(Step::Proc, || format!("make /proc/{name} read-only"))?;
    }
    mask_all(tree).during(Step::Proc, || "hide files of /proc".to_owned())
}

/// A second lock behind the filter of system calls, counted by the kernel itself.
fn forbid_namespaces(tree: &Tree) -> io::Result<()> {
    match openat(
        tree,
        NAMESPACE_LIMIT,
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(limit) => File::from(limit).write_all(b"0"),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

const NAMESPACE_LIMIT: &str = "proc/sys/user/max_user_namespaces";

fn seal(tree: &Tree, name: &str) -> io::Result<()> {
    let Some(place) = tree.find(&Path::new("proc").join(name))? else {
        return Ok(());
    };
    let sealed = mount::copy_of(&place)?;
    mount::restrict(&sealed, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    mount::put(&sealed, place.as_fd())
}

fn mask_all(tree: &Tree) -> io::Result<()> {
    let null = tree.find(Path::new("dev/null"))?;
    let null = null.ok_or(io::ErrorKind::NotFound)?;
    let mut empty = None;
    for name in MASKED {
        let Some(place) = tree.find(&Path::new("proc").join(name))? else {
            continue;
        };
        let mask = match is_folder(&fstat(&place)?) {
            true => empty_folder(&mut empty)?,
            false => mount::copy_of(&null)?,
        };
        mount::put(&mask, place.as_fd())?;
    }
    Ok(())
}

/// A file system without anything; each place needs a mount of it.
fn empty_folder(made: &mut Option<OwnedFd>) -> io::Result<OwnedFd> {
    match made {
        Some(made) => mount::copy_of(made.as_fd()),
        None => {
            let flags = DATA | MountAttrFlags::MOUNT_ATTR_RDONLY;
            let first = mount::memory(EMPTY_BYTES, "555", flags)?;
            let copy = first.try_clone()?;
            *made = Some(first);
            Ok(copy)
        }
    }
}

const EMPTY_BYTES: u64 = 4096;
