//! Signals as a queue that is read, instead of handlers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The signals that were blocked, one after the other.
pub(super) struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals`, and only them, and queues them instead.
    #[expect(unsafe_code, reason = "no crate here offers signalfd")]
    pub(super) fn queue(signals: &[libc::c_int]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: the set is initialised, and the descriptor is a new one that nobody else has.
        unsafe {
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC);
            match fd < 0 {
                true => Err(io::Error::last_os_error()),
                false => Ok(Self(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// Waits until there is a signal or something to read from `socket`, and says which; neither
    /// once `limit` is over.
    pub(super) fn or_input(
        &self,
        socket: &OwnedFd,
        limit: Option<Duration>,
    ) -> io::Result<(bool, bool)> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut ready = [&self.0, socket].map(|from| PollFd::new(from, PollFlags::IN));
        match poll(&mut ready, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [signal, input] = ready.map(|ready| !ready.revents().is_empty());
        Ok((signal, input))
    }

    /// Waits for the next signal.
    #[expect(unsafe_code, reason = "no crate here offers signalfd")]
    pub(super) fn next(&self) -> io::Result<libc::c_int> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the buffer is as large as the kernel is told.
            let got = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(got) == Ok(size) {
                // SAFETY: any bytes are a valid structure, and the kernel has filled it.
                let signal = unsafe { info.assume_init() }.ssi_signo;
                return Ok(signal.cast_signed());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Lets every signal do what it does in a fresh process: the runtime of the executable ignores a
/// broken pipe, and whoever started the server may have made it ignore others.
#[expect(
    unsafe_code,
    reason = "the C library hides two signals, which may be ignored, too"
)]
pub(super) fn reset_actions() {
    // The kernel's structure, whatever the architecture: no handler, no flags, no mask.
    let default = [0_u64; 8];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads no more than the given structure. The two signals that cannot be
        // changed refuse it.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                KERNEL_SET_BYTES,
            )
        };
    }
}

const LAST_SIGNAL: libc::c_int = 64;
const KERNEL_SET_BYTES: usize = 8;

/// Lets every signal through.
#[expect(unsafe_code, reason = "no crate here offers the signal mask")]
pub(super) fn unblock_all() {
    let none = set_of(&[]);
    // SAFETY: the set is initialised; it cannot fail with these arguments.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
}

#[expect(unsafe_code, reason = "no crate here offers signal sets")]
fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call initialises the set, the others change it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}
