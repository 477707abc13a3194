//! A process's standard input, output and error.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Uid, fchown};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::{Receiver, Sender};

/// The server's ends.
pub(super) struct Pipes {
    pub(super) stdin: Sender,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
}

impl Pipes {
    /// New pipes, and the ends that the process gets. `user` may open them anew, as programs do
    /// that write to `/dev/stdout`.
    pub(super) fn new(user: Option<u32>) -> io::Result<(Self, [OwnedFd; 3])> {
        let (their_stdin, stdin) = pipe(user)?;
        let (stdout, their_stdout) = pipe(user)?;
        let (stderr, their_stderr) = pipe(user)?;
        let ours = Self {
            stdin: Sender::from_owned_fd(stdin)?,
            stdout: Receiver::from_owned_fd(stdout)?,
            stderr: Receiver::from_owned_fd(stderr)?,
        };
        Ok((ours, [their_stdin, their_stdout, their_stderr]))
    }
}

fn pipe(user: Option<u32>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(user) = user {
        // Both ends are one file.
        fchown(
            &reader,
            Some(Uid::from_raw(user)),
            Some(Gid::from_raw(user)),
        )?;
    }
    Ok((reader, writer))
}
