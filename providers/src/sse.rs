//! Server-sent events from bytes, however they are cut.

/// The longest event, in bytes: a longer one would fill our memory.
const MAX_EVENT_BYTES: usize = 32 * 1024 * 1024;

/// The event is longer than any reply can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

/// Collects bytes and gives the data of complete events. Event names, ids, comments and retry
/// times are left out; every API we speak to repeats the name in its data.
#[derive(Clone, Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_carriage_return: bool,
    started: bool,
}

impl SseParser {
    /// Takes `bytes` and hands the data of each event that they complete to `event`.
    ///
    /// # Errors
    /// [`EventTooLong`]; the stream is then of no more use.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(Vec<u8>),
    ) -> Result<(), EventTooLong> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            self.end_line(rest[end], &mut event);
            rest = &rest[end + 1..];
        }
        self.extend(rest)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.after_carriage_return = false;
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        Ok(())
    }

    /// A line ends with CR, LF or both; the LF of a pair ends nothing.
    fn end_line(&mut self, end: u8, event: &mut impl FnMut(Vec<u8>)) {
        let second_of_pair = end == b'\n' && self.after_carriage_return;
        self.after_carriage_return = end == b'\r';
        if second_of_pair {
            return;
        }
        let line = std::mem::take(&mut self.line);
        self.take_line(self.without_mark(&line), event);
        self.started = true;
        self.line = line;
        self.line.clear();
    }

    /// The first line may start with a byte order mark.
    fn without_mark<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if !self.started => rest,
            _ => line,
        }
    }

    fn take_line(&mut self, line: &[u8], event: &mut impl FnMut(Vec<u8>)) {
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                event(std::mem::take(&mut self.data));
            }
            return;
        }
        let Some(value) = line.strip_prefix(b"data") else {
            return;
        };
        match value.strip_prefix(b":") {
            Some(value) => self.add_data(value.strip_prefix(b" ").unwrap_or(value)),
            None if value.is_empty() => self.add_data(b""),
            None => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
    }
}
