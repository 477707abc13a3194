//! The language of a command sandbox's one stream.
//!
//! The inside speaks first: it prints [`MARKER`], and from there on both sides write frames. What
//! came before the marker is a banner of the engine or of a login shell, and is passed over.
//!
//! A frame is its body's length in four bytes, big-endian like every number here, then the body: one
//! byte for its kind, then the fields. Documents (`Hello`, `Open`, `Ready`, `Spawn`) are JSON.
//!
//! ```text
//! inside: MARKER Hello                       it is there, and speaks this version
//! host:   Open [Entry Chunk*]* Uploaded      the run; the workspace's files unless they are shared
//! inside: Ready | Failed                     where the workspace is
//! host:   Spawn(id)                          inside: Started(id) | Refused(id)
//! both:   Data(id, channel)                  at most as many bytes as there is credit
//! both:   Credit(id, channel)                the reader of a channel made room
//! both:   End(id, channel)                   its writer will write no more
//! both:   Stop(id, channel)                  its reader will read no more; its End follows
//! host:   Kill(id)                           inside: Exit(id), once what it started is dead
//! host:   Ping                               inside: Pong
//! host:   Bye                                inside: the stream ends, once everything is dead
//! ```
//!
//! Identifiers are the host's, and count up from 1. Each channel starts with [`WINDOW_BYTES`] of
//! credit. After `Exit` there is nothing more about standard input; the other channels may go on to
//! their `End`.

mod decode;
mod encode;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the inside prints before its first frame.
pub const MARKER: &[u8] = b"\x1e==== pullwright spawner ====\n";

/// The version of this language. Both sides must have the same one.
pub const VERSION: u32 = 1;

/// The longest body, in bytes: a length beyond it is no frame but noise, and is not allocated.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The most bytes of one channel in a frame: short enough that another channel is soon served.
pub const MAX_DATA_BYTES: usize = 32 * 1024;

/// What the writer of a channel may send before its reader has made room: what a slow reader costs
/// in memory.
pub const WINDOW_BYTES: u32 = 256 * 1024;

/// The length in front of each body.
pub const HEADER_BYTES: usize = 4;

/// One of a process's three byte streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Written by the host.
    Stdin,
    /// Written by the inside.
    Stdout,
    /// Written by the inside.
    Stderr,
}

/// The first words of the inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its [`VERSION`].
    pub version: u32,
    /// The path of the program that runs Pullwright's tool host there.
    pub tool_host: String,
}

/// What the sandbox is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The run.
    pub run: String,
    /// Whether the workspace's files follow. Otherwise they are there.
    pub upload: bool,
}

/// The inside is ready for processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The workspace's path there.
    pub workspace: String,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables to add to the inside's own few.
    pub env: BTreeMap<String, String>,
    /// The working folder, as seen from the workspace; the workspace if absent.
    pub cwd: Option<String>,
}

/// Something in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the workspace.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file, whose bytes follow in [`Frame::Chunk`]s.
    File {
        /// Its permissions.
        mode: u32,
        /// How many bytes follow.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// What it points to.
        target: Vec<u8>,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Frame {
    /// The inside is there.
    Hello(Hello),
    /// What the sandbox is for.
    Open(Open),
    /// Something in the workspace.
    Entry(Entry),
    /// The next bytes of the last entry, a file.
    Chunk(Vec<u8>),
    /// There are no more entries.
    Uploaded,
    /// The inside is ready for processes.
    Ready(Ready),
    /// The inside cannot be opened.
    Failed { why: String },
    /// Start a process.
    Spawn { id: u32, spawn: Spawn },
    /// It is started.
    Started { id: u32 },
    /// It cannot be started.
    Refused { id: u32, why: String },
    /// Bytes of a channel.
    Data {
        id: u32,
        channel: Channel,
        bytes: Vec<u8>,
    },
    /// Room for more bytes of a channel.
    Credit {
        id: u32,
        channel: Channel,
        bytes: u32,
    },
    /// A channel's writer is done.
    End { id: u32, channel: Channel },
    /// A channel's reader is gone.
    Stop { id: u32, channel: Channel },
    /// Kill a process and all it started.
    Kill { id: u32 },
    /// A process ended.
    Exit { id: u32, exit: Exit },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// Kill everything and leave.
    Bye,
}

/// Why bytes are not a frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A body longer than [`MAX_BODY_BYTES`].
    #[error("a frame of {bytes} bytes, where at most {MAX_BODY_BYTES} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A body whose kind is unknown.
    #[error("a frame of the unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A body whose fields are not those of its kind.
    #[error("a frame of kind {kind} whose {field} is wrong")]
    Malformed {
        /// The kind.
        kind: u8,
        /// The first field that is wrong.
        field: &'static str,
    },
}

/// The length of the body that a header announces.
///
/// # Errors
/// It is longer than any frame.
pub fn body_len(header: [u8; HEADER_BYTES]) -> Result<usize, WireError> {
    let bytes = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    match bytes <= MAX_BODY_BYTES {
        true => Ok(bytes),
        false => Err(WireError::TooLong { bytes }),
    }
}

impl Channel {
    /// The usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The first byte of a body.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const OPEN: u8 = 2;
    pub(super) const ENTRY: u8 = 3;
    pub(super) const CHUNK: u8 = 4;
    pub(super) const UPLOADED: u8 = 5;
    pub(super) const READY: u8 = 6;
    pub(super) const FAILED: u8 = 7;
    pub(super) const SPAWN: u8 = 8;
    pub(super) const STARTED: u8 = 9;
    pub(super) const REFUSED: u8 = 10;
    pub(super) const DATA: u8 = 11;
    pub(super) const CREDIT: u8 = 12;
    pub(super) const END: u8 = 13;
    pub(super) const STOP: u8 = 14;
    pub(super) const KILL: u8 = 15;
    pub(super) const EXIT: u8 = 16;
    pub(super) const PING: u8 = 17;
    pub(super) const PONG: u8 = 18;
    pub(super) const BYE: u8 = 19;
}

/// The type of an entry.
mod entry {
    pub(super) const FOLDER: u8 = 0;
    pub(super) const FILE: u8 = 1;
    pub(super) const LINK: u8 = 2;
}
