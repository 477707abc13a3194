//! `/dev`: the devices that give and take nothing but bytes, and pseudo-terminals of its own.

use std::path::Path;

use rustix::mount::MountAttrFlags;

use super::super::mount;
use super::tree::Tree;
use crate::local::step::{During as _, Failure, Step};

/// The host's devices that are bound.
pub(super) const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Terminals of this file system alone, with the usual way to a new one.
const TERMINALS: [(&str, &str); 2] = [("ptmxmode", "0666"), ("mode", "620")];

/// No privileged programs and nothing to run; devices are what it is for.
const FLAGS: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

pub(super) fn mount(tree: &Tree) -> Result<(), Failure> {
    let terminals = mount::new("devpts", &TERMINALS, FLAGS);
    let terminals = terminals.during(Step::Mount, || "make pseudo-terminals".to_owned())?;
    tree.mount_folder(&terminals, Path::new("dev/pts"))
}
