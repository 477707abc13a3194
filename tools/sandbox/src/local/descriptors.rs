//! The launcher's descriptors: one socket, and nothing that leads back to the host.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// The first descriptor after standard input, output and error.
const FIRST: libc::c_uint = 3;

/// Takes the socket that the launcher is started with as its standard input, and leaves nothing
/// else open.
#[expect(unsafe_code, reason = "descriptors are taken by number")]
pub(super) fn take_socket() -> io::Result<OwnedFd> {
    // SAFETY: the new descriptor is nobody else's; the others are closed before anybody has them.
    let socket = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0);
        let fd = libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, FIRST);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    replace_standard([&nothing, &nothing, &nothing].map(|null| null.as_raw_fd()))?;
    Ok(socket)
}

/// Makes these descriptors standard input, output and error. None of them is one of the three.
#[expect(unsafe_code, reason = "descriptors are replaced by number")]
pub(super) fn replace_standard(descriptors: [libc::c_int; 3]) -> io::Result<()> {
    for (standard, descriptor) in (0..).zip(descriptors) {
        // SAFETY: a system call without pointers; what it closes is not owned by any value.
        if unsafe { libc::dup2(descriptor, standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes sure that a program started now inherits only standard input, output and error.
#[expect(unsafe_code, reason = "no crate here offers close_range")]
pub(super) fn close_on_exec() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: a system call without pointers; it closes nothing yet.
    match unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, flags) } < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
