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

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
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

const HELLO: u8 = 1;
const OPEN: u8 = 2;
const ENTRY: u8 = 3;
const CHUNK: u8 = 4;
const UPLOADED: u8 = 5;
const READY: u8 = 6;
const FAILED: u8 = 7;
const SPAWN: u8 = 8;
const STARTED: u8 = 9;
const REFUSED: u8 = 10;
const DATA: u8 = 11;
const CREDIT: u8 = 12;
const END: u8 = 13;
const STOP: u8 = 14;
const KILL: u8 = 15;
const EXIT: u8 = 16;
const PING: u8 = 17;
const PONG: u8 = 18;
const BYE: u8 = 19;

const FOLDER: u8 = 0;
const FILE: u8 = 1;
const LINK: u8 = 2;

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

impl Frame {
    /// The frame with its header.
    ///
    /// # Errors
    /// It is too long to be sent.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = vec![0; HEADER_BYTES];
        self.write_body(&mut out);
        let bytes = out.len() - HEADER_BYTES;
        let length = u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
        body_len(length)?;
        out[..HEADER_BYTES].copy_from_slice(&length);
        Ok(out)
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => document(out, HELLO, hello),
            Self::Open(open) => document(out, OPEN, open),
            Self::Entry(entry) => entry.write_body(out),
            Self::Chunk(bytes) => {
                out.push(CHUNK);
                out.extend(bytes);
            }
            Self::Uploaded => out.push(UPLOADED),
            Self::Ready(ready) => document(out, READY, ready),
            Self::Failed { why } => {
                out.push(FAILED);
                out.extend(why.as_bytes());
            }
            Self::Spawn { id, spawn } => {
                out.push(SPAWN);
                out.extend(id.to_be_bytes());
                json(out, spawn);
            }
            Self::Started { id } => numbered(out, STARTED, *id),
            Self::Refused { id, why } => {
                numbered(out, REFUSED, *id);
                out.extend(why.as_bytes());
            }
            Self::Data { id, channel, bytes } => {
                of_channel(out, DATA, *id, *channel);
                out.extend(bytes);
            }
            Self::Credit { id, channel, bytes } => {
                of_channel(out, CREDIT, *id, *channel);
                out.extend(bytes.to_be_bytes());
            }
            Self::End { id, channel } => of_channel(out, END, *id, *channel),
            Self::Stop { id, channel } => of_channel(out, STOP, *id, *channel),
            Self::Kill { id } => numbered(out, KILL, *id),
            Self::Exit { id, exit } => {
                numbered(out, EXIT, *id);
                let (how, number) = match exit {
                    Exit::Code(code) => (0, code),
                    Exit::Signal(signal) => (1, signal),
                };
                out.push(how);
                out.extend(number.to_be_bytes());
            }
            Self::Ping => out.push(PING),
            Self::Pong => out.push(PONG),
            Self::Bye => out.push(BYE),
        }
    }

    /// The frame whose body this is.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let Some((&kind, rest)) = body.split_first() else {
            return Err(malformed(0, "kind"));
        };
        let mut fields = Fields { kind, rest };
        let frame = fields.frame()?;
        match fields.rest.is_empty() {
            true => Ok(frame),
            false => Err(malformed(kind, "end")),
        }
    }
}

impl Entry {
    fn write_body(&self, out: &mut Vec<u8>) {
        out.push(ENTRY);
        match &self.kind {
            EntryKind::Folder => out.push(FOLDER),
            EntryKind::File { mode, size } => {
                out.push(FILE);
                out.extend(mode.to_be_bytes());
                out.extend(size.to_be_bytes());
            }
            EntryKind::Link { target } => {
                out.push(LINK);
                let length = u32::try_from(target.len()).unwrap_or(u32::MAX);
                out.extend(length.to_be_bytes());
                out.extend(target);
            }
        }
        out.extend(&self.path);
    }
}

/// What is left of a body.
struct Fields<'b> {
    kind: u8,
    rest: &'b [u8],
}

impl Fields<'_> {
    fn frame(&mut self) -> Result<Frame, WireError> {
        Ok(match self.kind {
            HELLO => Frame::Hello(self.json("document")?),
            OPEN => Frame::Open(self.json("document")?),
            ENTRY => Frame::Entry(self.entry()?),
            CHUNK => Frame::Chunk(self.bytes()),
            UPLOADED => Frame::Uploaded,
            READY => Frame::Ready(self.json("document")?),
            FAILED => Frame::Failed { why: self.text() },
            SPAWN => Frame::Spawn {
                id: self.number("id")?,
                spawn: self.json("document")?,
            },
            STARTED => Frame::Started {
                id: self.number("id")?,
            },
            REFUSED => Frame::Refused {
                id: self.number("id")?,
                why: self.text(),
            },
            DATA => Frame::Data {
                id: self.number("id")?,
                channel: self.channel()?,
                bytes: self.bytes(),
            },
            CREDIT => Frame::Credit {
                id: self.number("id")?,
                channel: self.channel()?,
                bytes: self.number("credit")?,
            },
            END => Frame::End {
                id: self.number("id")?,
                channel: self.channel()?,
            },
            STOP => Frame::Stop {
                id: self.number("id")?,
                channel: self.channel()?,
            },
            KILL => Frame::Kill {
                id: self.number("id")?,
            },
            EXIT => Frame::Exit {
                id: self.number("id")?,
                exit: self.exit()?,
            },
            PING => Frame::Ping,
            PONG => Frame::Pong,
            BYE => Frame::Bye,
            kind => return Err(WireError::UnknownKind { kind }),
        })
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        let kind = match self.byte("type")? {
            FOLDER => EntryKind::Folder,
            FILE => EntryKind::File {
                mode: self.number("mode")?,
                size: u64::from_be_bytes(self.take("size")?),
            },
            LINK => EntryKind::Link {
                target: self.sized("target")?,
            },
            _ => return Err(malformed(self.kind, "type")),
        };
        let path = self.bytes();
        Ok(Entry { path, kind })
    }

    fn exit(&mut self) -> Result<Exit, WireError> {
        let how = self.byte("end")?;
        let number = i32::from_be_bytes(self.take("code")?);
        match how {
            0 => Ok(Exit::Code(number)),
            1 => Ok(Exit::Signal(number)),
            _ => Err(malformed(self.kind, "end")),
        }
    }

    fn channel(&mut self) -> Result<Channel, WireError> {
        match self.byte("channel")? {
            0 => Ok(Channel::Stdin),
            1 => Ok(Channel::Stdout),
            2 => Ok(Channel::Stderr),
            _ => Err(malformed(self.kind, "channel")),
        }
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.take(field).map(u8::from_be_bytes)
    }

    fn number(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.take(field).map(u32::from_be_bytes)
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(malformed(self.kind, field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn sized(&mut self, field: &'static str) -> Result<Vec<u8>, WireError> {
        let length = usize::try_from(self.number(field)?).unwrap_or(usize::MAX);
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(malformed(self.kind, field))?;
        self.rest = rest;
        Ok(taken.to_vec())
    }

    /// The rest.
    fn bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest).to_vec()
    }

    /// The rest, which is for people to read.
    fn text(&mut self) -> String {
        String::from_utf8_lossy(std::mem::take(&mut self.rest)).into_owned()
    }

    fn json<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, WireError> {
        let text = std::mem::take(&mut self.rest);
        serde_json::from_slice(text).map_err(|_| malformed(self.kind, field))
    }
}

fn malformed(kind: u8, field: &'static str) -> WireError {
    WireError::Malformed { kind, field }
}

fn numbered(out: &mut Vec<u8>, kind: u8, id: u32) {
    out.push(kind);
    out.extend(id.to_be_bytes());
}

fn of_channel(out: &mut Vec<u8>, kind: u8, id: u32, channel: Channel) {
    numbered(out, kind, id);
    out.push(match channel {
        Channel::Stdin => 0,
        Channel::Stdout => 1,
        Channel::Stderr => 2,
    });
}

fn document(out: &mut Vec<u8>, kind: u8, value: &impl Serialize) {
    out.push(kind);
    json(out, value);
}

/// Strings, numbers and lists of them always have a form in JSON.
fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend(serde_json::to_vec(value).unwrap_or_default());
}
