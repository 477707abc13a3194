//! From a frame to its bytes.

use serde::Serialize;

use super::{
    Channel, Entry, EntryKind, Exit, Frame, HEADER_BYTES, WireError, body_len, entry, kind,
};

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
            Self::Hello(hello) => document(out, kind::HELLO, hello),
            Self::Open(open) => document(out, kind::OPEN, open),
            Self::Entry(entry) => entry.write_body(out),
            Self::Chunk(bytes) => {
                out.push(kind::CHUNK);
                out.extend(bytes);
            }
            Self::Uploaded => out.push(kind::UPLOADED),
            Self::Ready(ready) => document(out, kind::READY, ready),
            Self::Failed { why } => {
                out.push(kind::FAILED);
                out.extend(why.as_bytes());
            }
            Self::Spawn { id, spawn } => {
                out.push(kind::SPAWN);
                out.extend(id.to_be_bytes());
                json(out, spawn);
            }
            Self::Started { id } => numbered(out, kind::STARTED, *id),
            Self::Refused { id, why } => {
                numbered(out, kind::REFUSED, *id);
                out.extend(why.as_bytes());
            }
            Self::Data { id, channel, bytes } => {
                of_channel(out, kind::DATA, *id, *channel);
                out.extend(bytes);
            }
            Self::Credit { id, channel, bytes } => {
                of_channel(out, kind::CREDIT, *id, *channel);
                out.extend(bytes.to_be_bytes());
            }
            Self::End { id, channel } => of_channel(out, kind::END, *id, *channel),
            Self::Stop { id, channel } => of_channel(out, kind::STOP, *id, *channel),
            Self::Kill { id } => numbered(out, kind::KILL, *id),
            Self::Exit { id, exit } => {
                numbered(out, kind::EXIT, *id);
                let (how, number) = match exit {
                    Exit::Code(code) => (0, code),
                    Exit::Signal(signal) => (1, signal),
                };
                out.push(how);
                out.extend(number.to_be_bytes());
            }
            Self::Ping => out.push(kind::PING),
            Self::Pong => out.push(kind::PONG),
            Self::Bye => out.push(kind::BYE),
        }
    }
}

impl Entry {
    fn write_body(&self, out: &mut Vec<u8>) {
        out.push(kind::ENTRY);
        match &self.kind {
            EntryKind::Folder => out.push(entry::FOLDER),
            EntryKind::File { mode, size } => {
                out.push(entry::FILE);
                out.extend(mode.to_be_bytes());
                out.extend(size.to_be_bytes());
            }
            EntryKind::Link { target } => {
                out.push(entry::LINK);
                let length = u32::try_from(target.len()).unwrap_or(u32::MAX);
                out.extend(length.to_be_bytes());
                out.extend(target);
            }
        }
        out.extend(&self.path);
    }
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
