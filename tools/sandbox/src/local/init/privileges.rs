//! Giving up every right, for init and for all that it will start.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    set_capabilities, set_capabilities_secure_bits, set_no_new_privs,
};

use crate::local::step::{During as _, Failure, Step};

/// Capabilities are numbered up to 63; a kernel refuses those it does not know.
const CAPABILITY_NUMBERS: std::ops::Range<libc::c_ulong> = 0..64;

/// Gives up every capability for good, and hides this process's memory from those it starts.
pub(super) fn give_up() -> Result<(), Failure> {
    let during =
        |result: io::Result<()>, what: &str| result.during(Step::Privileges, || what.to_owned());
    during(empty_bounding_set(), "empty the bounding set")?;
    during(
        clear_ambient_capability_set().map_err(Into::into),
        "empty the ambient set",
    )?;
    during(lock_secure_bits(), "lock the secure bits")?;
    during(
        set_no_new_privs(true).map_err(Into::into),
        "rule new privileges out",
    )?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    during(
        set_capabilities(None, none).map_err(Into::into),
        "drop the capabilities",
    )?;
    // Last, since a change of user or rights undoes it.
    during(
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Into::into),
        "hide the memory",
    )
}

#[expect(
    unsafe_code,
    reason = "the typed call cannot name what it does not know"
)]
fn empty_bounding_set() -> io::Result<()> {
    for number in CAPABILITY_NUMBERS {
        // SAFETY: a system call without pointers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EINVAL) => Ok(()),
                _ => Err(error),
            };
        }
    }
    Ok(())
}

fn lock_secure_bits() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    Ok(set_capabilities_secure_bits(bits)?)
}
