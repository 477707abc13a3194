//! The file system as processes inside see it.
//!
//! A small file system in memory, in the end read-only, with the host's system folders and what the
//! plan names bound into it. Everything that comes from the host is taken before anything is
//! mounted, so that no new mount can hide a source.

mod devices;
mod etc;
mod proc;
mod sources;
mod tree;

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, fchdir, pivot_root};

use super::mount::{self, DATA, PLAIN, READ_ONLY};
use crate::local::plan::Plan;
use crate::local::step::{During as _, Failure, Step};

pub(super) use sources::Sources;
use tree::Tree;

/// A few folders, links and small files.
const ROOT_BYTES: u64 = 1024 * 1024;
/// Sockets and process numbers.
const RUN_BYTES: u64 = 16 * 1024 * 1024;

/// Links that programs expect.
const LINKS: [(&str, &str); 8] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/ptmx", "pts/ptmx"),
    ("var/tmp", "/tmp"),
    ("var/run", "/run"),
    ("etc/mtab", "/proc/self/mounts"),
];

/// Builds the file system and makes it the only one.
pub(super) fn build(plan: &Plan, sources: Sources) -> Result<(), Failure> {
    let tree = start()?;
    // Before the sources, one of which may lie below /tmp.
    mount_memory(&tree, plan)?;
    sources.bind(&tree)?;
    devices::mount(&tree)?;
    etc::generate(&tree, plan)?;
    for (path, target) in LINKS {
        tree.link(path, target)?;
    }
    proc::mount(&tree)?;
    enter(&tree)?;
    mount::restrict(&tree, READ_ONLY).during(Step::Mount, || "make / read-only".to_owned())
}

/// Where the new root is mounted. Any folder would do, since all that is needed of the host is
/// taken: this one is there, and everybody may enter it.
const ANYWHERE: &str = "/usr";

fn start() -> Result<Tree, Failure> {
    let detail = || format!("mount the new root on {ANYWHERE}");
    let root = mount::memory(ROOT_BYTES, "755", PLAIN).during(Step::Mount, detail)?;
    let place = tree::open_folder(Path::new(ANYWHERE)).during(Step::Mount, detail)?;
    mount::put(&root, place.as_fd()).during(Step::Mount, detail)?;
    Ok(Tree::new(root))
}

fn mount_memory(tree: &Tree, plan: &Plan) -> Result<(), Failure> {
    let limits = &plan.limits;
    let folders = [
        ("tmp", limits.tmp_bytes, "1777", PLAIN),
        ("run", RUN_BYTES, "755", PLAIN),
        ("dev/shm", limits.shm_bytes, "1777", DATA),
    ];
    for (path, bytes, mode, flags) in folders {
        let mount = mount::memory(bytes, mode, flags);
        let mount = mount.during(Step::Mount, || format!("make a file system for /{path}"))?;
        tree.mount_folder(&mount, Path::new(path))?;
    }
    Ok(())
}

/// Makes nothing inside a mirror of the host, nor the host of it.
pub(super) fn make_private() -> Result<(), Failure> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .during(Step::Mount, || "make every mount private".to_owned())
}

/// Makes the tree the root, and lets go of the host's.
fn enter(tree: &Tree) -> Result<(), Failure> {
    fchdir(tree).during(Step::Pivot, || "enter the new root".to_owned())?;
    // Onto itself: the old root then lies on the new one, and is taken away there.
    pivot_root(".", ".").during(Step::Pivot, || "change the root".to_owned())?;
    unmount(".", UnmountFlags::DETACH)
        .during(Step::Pivot, || "let go of the old root".to_owned())?;
    chdir("/").during(Step::Pivot, || "enter /".to_owned())
}
