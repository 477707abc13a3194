//! A stream of server-sent events, none of which may grow without end.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rmcp::transport::streamable_http_client::SseError;
use sse_stream::{Sse, SseStream};

use super::{McpHttp, McpHttpError, error};

/// The events of an answer, each of at most `max_event_bytes`.
pub(super) fn events_of(
    http: McpHttp,
    response: reqwest::Response,
    max_event_bytes: usize,
) -> BoxStream<'static, Result<Sse, SseError>> {
    let mut size = EventSize::default();
    let bytes = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| http.note(error::of_request(http.host(), error)))?;
        if size.after(&chunk) > max_event_bytes {
            return Err(http.note(McpHttpError::TooLarge {
                host: http.host(),
                what: "event",
                limit: max_event_bytes,
            }));
        }
        Ok(chunk)
    });
    SseStream::from_bytes_stream(bytes).boxed()
}

/// How many bytes a reader must keep until the event they belong to ends.
#[derive(Debug, Default)]
struct EventSize {
    kept: usize,
    line: usize,
    comment: bool,
    after_cr: bool,
}

impl EventSize {
    /// The most bytes of one event that had to be kept at once while `chunk` was read.
    fn after(&mut self, chunk: &[u8]) -> usize {
        let mut most = 0;
        for &byte in chunk {
            match byte {
                b'\n' if self.after_cr => {}
                b'\n' | b'\r' => self.end_line(),
                _ => {
                    self.comment |= self.line == 0 && byte == b':';
                    self.line += 1;
                }
            }
            self.after_cr = byte == b'\r';
            most = most.max(self.kept + self.line);
        }
        most
    }

    /// An empty line ends the event; a comment belongs to none.
    fn end_line(&mut self) {
        self.kept = match (self.line, self.comment) {
            (0, _) => 0,
            (_, true) => self.kept,
            (line, false) => self.kept + line + 1,
        };
        self.line = 0;
        self.comment = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_counted_until_an_empty_line() {
        let mut size = EventSize::default();
        assert_eq!(size.after(b"data: 12345\n"), 12);
        assert_eq!(size.after(b"data: 12345\r\n\r\n"), 24);
        assert_eq!(size.after(b"data: 1"), 7);
    }

    #[test]
    fn comments_keep_a_stream_alive_for_ever() {
        let mut size = EventSize::default();
        let most = (0..1000).map(|_| size.after(b": still here\n\n")).max();
        assert_eq!(most, Some(12));
        assert!(size.after(b"data: without end ") < size.after(&[b'x'; 4096]));
    }
}
