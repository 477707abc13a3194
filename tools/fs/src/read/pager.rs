//! One page of a file's lines, in memory bounded by the page, however long the file and its lines.

use std::fmt::Write as _;

use pullwright_tool_kit::Refusal;

use crate::page::MAX_PAGE_BYTES;
use crate::text::{self, BOM, LineEndCounts, LineEnds};

/// Prevents one line, such as minified code, from filling the page.
const MAX_LINE_BYTES: usize = 2000;

/// Takes in a file in pieces and keeps the lines of one page.
pub(super) struct Pager {
    first: u64,
    limit: u64,
    text: String,
    /// The last line on the page.
    last: u64,
    full: bool,
    /// Lines that are complete.
    lines: u64,
    /// The beginning of the line that is not complete yet.
    line: Vec<u8>,
    line_length: usize,
    last_byte: Option<u8>,
    line_ends: LineEndCounts,
    has_bom: bool,
    is_utf8: bool,
}

impl Pager {
    /// At most `limit` lines from line `first` on, counted from 1.
    pub(super) fn new(first: u64, limit: u64) -> Self {
        Self {
            first,
            limit,
            text: String::new(),
            last: 0,
            full: false,
            lines: 0,
            line: Vec::new(),
            line_length: 0,
            last_byte: None,
            line_ends: LineEndCounts::default(),
            has_bom: false,
            is_utf8: true,
        }
    }

    /// Takes in the next piece. The first one holds at least the byte order mark, if there is one.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        if self.last_byte.is_none() && piece.starts_with(BOM) {
            self.has_bom = true;
            piece = &piece[BOM.len()..];
        }
        while let Some(end) = memchr::memchr(b'\n', piece) {
            self.extend_line(&piece[..end]);
            self.line_ends.add(self.last_byte == Some(b'\r'));
            self.end_line(true);
            self.last_byte = Some(b'\n');
            piece = &piece[end + 1..];
        }
        self.extend_line(piece);
    }

    /// The page and what is to know about the file.
    pub(super) fn finish(mut self, path: &str) -> Result<String, Refusal> {
        let has_last_newline = self.line_length == 0;
        if !has_last_newline {
            self.end_line(false);
        }
        if self.lines == 0 {
            let bom = if self.has_bom {
                " but for a byte order mark"
            } else {
                ""
            };
            return Ok(format!("[the file is empty{bom}]"));
        }
        if self.first > self.lines {
            return Err(Refusal::new(format!(
                "`{path}` has only {} lines, so there is nothing from line {} on",
                self.lines, self.first
            )));
        }
        for note in self.notes(has_last_newline) {
            let _ = writeln!(self.text, "[{note}]");
        }
        Ok(self.text)
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        // One byte more than is shown, for the `\r` of a line that just fits.
        let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.line_length += bytes.len();
        self.last_byte = Some(*last);
    }

    fn end_line(&mut self, has_newline: bool) {
        self.lines += 1;
        if self.lines >= self.first && !self.full {
            self.show_line(has_newline);
        }
        self.line.clear();
        self.line_length = 0;
    }

    fn show_line(&mut self, has_newline: bool) {
        let is_crlf = has_newline && self.line_length > 0 && self.last_byte == Some(b'\r');
        let length = self.line_length - usize::from(is_crlf);
        let _ = write!(self.text, "{:>6}\t", self.lines);
        let kept = &self.line[..length.min(MAX_LINE_BYTES).min(self.line.len())];
        let kept = if length > kept.len() {
            text::whole_characters(kept)
        } else {
            kept
        };
        self.is_utf8 &= std::str::from_utf8(kept).is_ok();
        self.text.push_str(&String::from_utf8_lossy(kept));
        if length > kept.len() {
            let rest = length - kept.len();
            let _ = write!(
                self.text,
                " [... line cut, {rest} more bytes; see them with a shell command such as cut -b]"
            );
        }
        self.text.push('\n');
        self.last = self.lines;
        self.full = self.last - self.first + 1 >= self.limit || self.text.len() >= MAX_PAGE_BYTES;
    }

    fn notes(&self, has_last_newline: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if self.last < self.lines {
            let next = self.last + 1;
            notes.push(format!(
                "lines {}-{} of {} shown; go on with offset: {next}",
                self.first, self.last, self.lines
            ));
        } else if !has_last_newline {
            notes.push("no newline at the end of the file".to_owned());
        }
        match self.line_ends.line_ends() {
            LineEnds::CrLf => notes.push(
                "the file has CRLF line ends; edit matches and writes them when you use plain newlines".to_owned(),
            ),
            LineEnds::Mixed => notes.push("the file has mixed line ends, LF and CRLF".to_owned()),
            LineEnds::None | LineEnds::Lf => {}
        }
        if self.has_bom {
            notes.push("the file begins with a byte order mark, which edit keeps".to_owned());
        }
        if !self.is_utf8 {
            notes.push(
                "not all of this is valid UTF-8; wrong bytes are shown as \u{fffd}".to_owned(),
            );
        }
        notes
    }
}
