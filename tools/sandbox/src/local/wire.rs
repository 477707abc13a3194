//! The messages between the server and the sandbox.
//!
//! One message is one packet of JSON, with the descriptors it is about attached.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::step::Failure;

/// The longest message. Two of them fit into a socket's buffer, whose default is 208 KiB, only one
/// in the worst case; a longer command is refused before it is sent.
pub(super) const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// The most descriptors that come with a message: standard input, output and error.
const MAX_DESCRIPTORS: usize = 3;

/// From the server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Tells the launcher to open a sandbox; its plan and its socket are attached.
    Open,
    /// Starts a process whose standard input, output and error are attached.
    Spawn(Spawn),
    /// Ends a process and all that it started.
    Kill { id: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spawn {
    pub(super) id: u64,
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
}

/// From the sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The launcher has created init, whose descriptor is attached.
    Created,
    /// The sandbox is open. The proxy's listener is attached if one was asked for.
    Ready,
    /// The sandbox cannot be opened.
    Failed(Failure),
    /// A process runs. `pid` is its number inside.
    Started { id: u64, pid: i32 },
    /// A process was not started.
    Refused { id: u64, why: String, errno: i32 },
    /// More of the disk is used than may be. The sandbox ends.
    DiskFull { excess: Excess },
    /// A process has ended, and nothing that it started is left.
    Exit { id: u64, end: End },
}

/// What there is too much of on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Excess {
    /// So many bytes are used.
    Bytes(u64),
    /// There are more files than this, which is as many as may be.
    Files(u64),
    /// It could not be found out how much is used.
    Unknown,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
}

/// A message that arrived.
pub(super) struct Received<T> {
    pub(super) message: T,
    /// All that came with it, or none.
    pub(super) descriptors: Vec<OwnedFd>,
    /// Not all of them could be taken, as at the limit of descriptors.
    pub(super) cut_off: bool,
}

/// The packet of a message.
pub(super) fn packet(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(message)?;
    match bytes.len() <= MAX_MESSAGE_BYTES {
        true => Ok(bytes),
        false => Err(io::Error::from_raw_os_error(libc::E2BIG)),
    }
}

/// Sends one packet, whole or not at all.
pub(super) fn send_packet(
    socket: impl AsFd,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let data = [IoSlice::new(packet)];
    loop {
        match sendmsg(&socket, &data, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Sends one message.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_packet(socket, &packet(message)?, descriptors)
}

/// Receives one message; nothing if the other side is gone. `buffer` has [`MAX_MESSAGE_BYTES`].
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Option<Received<T>>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut data = [IoSliceMut::new(buffer)];
        match recvmsg(&socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            got => break got?,
        }
    };
    let descriptors = control.drain().filter_map(|attached| match attached {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    let cut_off = got.flags.contains(ReturnFlags::CTRUNC);
    if cut_off {
        // Nobody could tell which of them are missing.
        descriptors.clear();
    }
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("a message was cut off"));
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(buffer.get(..got.bytes).unwrap_or_default())?;
    Ok(Some(Received {
        message,
        descriptors,
        cut_off,
    }))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn a_message_whose_descriptors_are_cut_off_arrives_without_any() {
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None).unwrap();
        let many = [ours.as_fd(); 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        let packet = packet(&Request::Open).unwrap();
        let data = [IoSlice::new(&packet)];
        sendmsg(&ours, &data, &mut control, SendFlags::empty()).unwrap();
        send(&ours, &Request::Open, &[ours.as_fd(), theirs.as_fd()]).unwrap();

        let mut buffer = vec![0; MAX_MESSAGE_BYTES];
        let mut next = || receive::<Request>(&theirs, &mut buffer).unwrap().unwrap();
        let cut = next();
        assert!(cut.cut_off && cut.descriptors.is_empty());
        let whole = next();
        assert!(!whole.cut_off);
        assert_eq!(whole.descriptors.len(), 2);
    }
}
