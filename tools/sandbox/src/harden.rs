//! The server's own protection from what it starts.

use std::io;

/// Makes this process hard to read for other processes of the machine: its memory and environment
/// are closed to others of the same user, and the files it creates from now on are private.
///
/// # Errors
/// The kernel refuses.
pub fn harden_server() -> io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    make_non_dumpable()
}

/// Closes this process's memory, environment and descriptors to others of the same user.
///
/// # Errors
/// The kernel refuses.
#[cfg(target_os = "linux")]
pub fn make_non_dumpable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Other systems have no such switch.
///
/// # Errors
/// None here.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "other systems can refuse")]
pub fn make_non_dumpable() -> io::Result<()> {
    Ok(())
}
