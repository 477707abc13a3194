//! From bytes to the frame, or to what is wrong with them.

use serde::de::DeserializeOwned;

use super::{Channel, Entry, EntryKind, Exit, Frame, WireError, entry, kind};

impl Frame {
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

/// What is left of a body.
struct Fields<'b> {
    kind: u8,
    rest: &'b [u8],
}

impl Fields<'_> {
    fn frame(&mut self) -> Result<Frame, WireError> {
        Ok(match self.kind {
            kind::HELLO => Frame::Hello(self.json("document")?),
            kind::OPEN => Frame::Open(self.json("document")?),
            kind::ENTRY => Frame::Entry(self.entry()?),
            kind::CHUNK => Frame::Chunk(self.bytes()),
            kind::UPLOADED => Frame::Uploaded,
            kind::READY => Frame::Ready(self.json("document")?),
            kind::FAILED => Frame::Failed { why: self.text() },
            kind::SPAWN => Frame::Spawn {
                id: self.number("id")?,
                spawn: self.json("document")?,
            },
            kind::STARTED => Frame::Started {
                id: self.number("id")?,
            },
            kind::REFUSED => Frame::Refused {
                id: self.number("id")?,
                why: self.text(),
            },
            kind::DATA => Frame::Data {
                id: self.number("id")?,
                channel: self.channel()?,
                bytes: self.bytes(),
            },
            kind::CREDIT => Frame::Credit {
                id: self.number("id")?,
                channel: self.channel()?,
                bytes: self.number("credit")?,
            },
            kind::END => Frame::End {
                id: self.number("id")?,
                channel: self.channel()?,
            },
            kind::STOP => Frame::Stop {
                id: self.number("id")?,
                channel: self.channel()?,
            },
            kind::KILL => Frame::Kill {
                id: self.number("id")?,
            },
            kind::EXIT => Frame::Exit {
                id: self.number("id")?,
                exit: self.exit()?,
            },
            kind::PING => Frame::Ping,
            kind::PONG => Frame::Pong,
            kind::BYE => Frame::Bye,
            kind => return Err(WireError::UnknownKind { kind }),
        })
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        let kind = match self.byte("type")? {
            entry::FOLDER => EntryKind::Folder,
            entry::FILE => EntryKind::File {
                mode: self.number("mode")?,
                size: u64::from_be_bytes(self.take("size")?),
            },
            entry::LINK => EntryKind::Link {
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
