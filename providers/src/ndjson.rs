//! JSON lines from bytes, however they are cut.

/// The longest line, in bytes: a longer one would fill our memory.
const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;

/// The line is longer than any reply can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream is longer than {MAX_LINE_BYTES} bytes")]
pub struct LineTooLong;

/// Collects bytes and gives complete lines that are not blank.
#[derive(Clone, Debug, Default)]
pub struct LineParser {
    line: Vec<u8>,
}

impl LineParser {
    /// Takes `bytes` and hands each line that they complete to `line`.
    ///
    /// # Errors
    /// [`LineTooLong`]; the stream is then of no more use.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) -> Result<(), LineTooLong> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&rest[..end])?;
            self.end(&mut line);
            rest = &rest[end + 1..];
        }
        self.extend(rest)
    }

    /// Gives the last line, which may lack its line end.
    pub fn end(&mut self, mut line: impl FnMut(&[u8])) {
        let whole = self.line.trim_ascii();
        if !whole.is_empty() {
            line(whole);
        }
        self.line.clear();
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        self.line.extend_from_slice(bytes);
        if self.line.len() > MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        Ok(())
    }
}
