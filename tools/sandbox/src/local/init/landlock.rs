//! A second layer behind the mounts: Landlock rules that commands take upon themselves.
//!
//! They say again what the mounts say, in a part of the kernel that knows nothing of mounts. Where
//! the kernel can, they also keep commands from signalling their supervisor and init.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use ::landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::local::plan::{HOME, WORKSPACE};
use crate::local::step::{During as _, Failure, Step};

/// The newest rules that are asked for; an older kernel gets those it knows.
const NEWEST: ABI = ABI::V6;

/// Where anything may be changed, as far as mounts and owners allow.
const WRITABLE: [&str; 6] = [WORKSPACE, HOME, "/tmp", "/run", "/dev", "/proc"];

/// The version of Landlock that this kernel has, if it has one.
#[expect(unsafe_code, reason = "the crate does not tell")]
#[must_use]
pub fn abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the kernel reads nothing and answers a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).ok()
}

/// The rules, or nothing where the kernel has no Landlock.
pub(super) fn rules() -> Result<Option<OwnedFd>, Failure> {
    make().during(Step::Landlock, || "make the Landlock rules".to_owned())
}

fn make() -> io::Result<Option<OwnedFd>> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(other)?;
    rules = rules.add_rule(beneath("/", read)?).map_err(other)?;
    for path in WRITABLE {
        rules = rules.add_rule(beneath(path, all)?).map_err(other)?;
    }
    Ok(rules.into())
}

fn beneath(path: &str, access: BitFlags<AccessFs>) -> io::Result<PathBeneath<PathFd>> {
    let path = PathFd::new(path).map_err(io::Error::other)?;
    Ok(PathBeneath::new(path, access))
}

fn other(error: RulesetError) -> io::Error {
    io::Error::other(error)
}

/// Takes the rules upon this process and all that it starts.
#[expect(
    unsafe_code,
    reason = "the crate uses its rules up, and these are used for each command"
)]
pub(super) fn obey(rules: &OwnedFd) -> io::Result<()> {
    // SAFETY: a system call without pointers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
    match done < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
