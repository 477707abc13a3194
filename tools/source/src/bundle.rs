//! The header of a git bundle, parsed here so that git only ever sees the pack in it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

/// Against a header without end, in bytes.
const MAX_HEADER_BYTES: u64 = 64 << 10;
/// The length of an object id in hexadecimal digits (SHA-1).
const ID_LEN: usize = 40;

/// What a bundle brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The commit that carries the work.
    pub(crate) tip: String,
}

/// Reads the header and leaves the file at the start of the pack.
pub(crate) fn open(file: &mut File) -> Result<Header, SourceError> {
    let mut reader = BufReader::new(file.by_ref().take(MAX_HEADER_BYTES));
    let mut header = Parser::default();
    let mut length = 0;
    loop {
        let mut line = Vec::new();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| unsound(&error.to_string()))?;
        length += read as u64;
        if line.pop() != Some(b'\n') {
            return Err(unsound("its header does not end"));
        }
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8(line).map_err(|_| unsound("its header is not text"))?;
        header.line(&line)?;
    }
    drop(reader);
    file.seek(SeekFrom::Start(length))
        .map_err(|error| unsound(&error.to_string()))?;
    header.finish()
}

#[derive(Default)]
struct Parser {
    signed: bool,
    tips: Vec<String>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), SourceError> {
        if !self.signed {
            self.signed = matches!(line, "# v2 git bundle" | "# v3 git bundle");
            return if self.signed {
                Ok(())
            } else {
                Err(unsound("it is not a git bundle"))
            };
        }
        match line.as_bytes().first() {
            Some(b'@') if line == "@object-format=sha1" => Ok(()),
            Some(b'@') => Err(unsound("it asks for a capability that is not supported")),
            Some(b'-') => object_id(line.get(1..).unwrap_or_default()).map(drop),
            _ => {
                self.tips.push(object_id(line)?);
                Ok(())
            }
        }
    }

    /// All references must agree: which of several is the work cannot be guessed.
    fn finish(mut self) -> Result<Header, SourceError> {
        self.tips.dedup();
        match (self.tips.pop(), self.tips.is_empty()) {
            (Some(tip), true) => Ok(Header { tip }),
            (None, _) => Err(unsound("it holds no reference")),
            (Some(_), false) => Err(unsound("its references differ; bundle exactly one")),
        }
    }
}

fn object_id(text: &str) -> Result<String, SourceError> {
    let id = text.split(' ').next().unwrap_or_default();
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() != ID_LEN || !id.bytes().all(hex) {
        return Err(unsound("its header holds a line that is not understood"));
    }
    Ok(id.to_owned())
}

pub(crate) fn unsound(why: &str) -> SourceError {
    SourceError::new(
        FailureKind::Export,
        format!("the bundle from the sandbox is not sound: {why}"),
    )
}
