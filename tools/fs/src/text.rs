//! What a file's bytes say about it: line ends, byte order mark, text or not.

use std::borrow::Cow;

/// The UTF-8 byte order mark.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A NUL byte this far into a file tells it from text.
const BINARY_PROBE_BYTES: usize = 8 * 1024;

/// How a text ends its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnds {
    /// It has at most one line, without an end.
    None,
    /// Each with `\n`.
    Lf,
    /// Each with `\r\n`.
    CrLf,
    /// Some with one, some with the other.
    Mixed,
}

impl LineEnds {
    /// The line ends of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut counts = LineEndCounts::default();
        for at in memchr::memchr_iter(b'\n', bytes) {
            counts.add(at > 0 && bytes[at - 1] == b'\r');
        }
        counts.line_ends()
    }

    /// The name a model knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Lf => "LF",
            Self::CrLf => "CRLF",
            Self::Mixed => "mixed LF and CRLF",
        }
    }
}

/// Counts line ends one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineEndCounts {
    lf: u64,
    crlf: u64,
}

impl LineEndCounts {
    pub(crate) fn add(&mut self, is_crlf: bool) {
        match is_crlf {
            true => self.crlf += 1,
            false => self.lf += 1,
        }
    }

    pub(crate) fn line_ends(self) -> LineEnds {
        match (self.lf, self.crlf) {
            (0, 0) => LineEnds::None,
            (_, 0) => LineEnds::Lf,
            (0, _) => LineEnds::CrLf,
            _ => LineEnds::Mixed,
        }
    }
}

/// Whether `bytes`, the beginning of a file, are no text.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let probe = &bytes[..bytes.len().min(BINARY_PROBE_BYTES)];
    memchr::memchr(0, probe).is_some()
}

/// The line, counted from 1, that holds the byte at `at`.
pub(crate) fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &bytes[..at]).count()
}

/// How many lines `bytes` hold; a last one without an end counts.
pub(crate) fn line_count(bytes: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', bytes).count();
    ends + usize::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// `bytes` as text in at most `limit` bytes, with a note in place of the rest.
pub(crate) fn cut(bytes: &[u8], limit: usize) -> Cow<'_, str> {
    if bytes.len() <= limit {
        return String::from_utf8_lossy(bytes);
    }
    let kept = whole_characters(&bytes[..limit]);
    let rest = bytes.len() - kept.len();
    let kept = String::from_utf8_lossy(kept);
    Cow::Owned(format!("{kept} [... line cut, {rest} more bytes]"))
}

/// Without a character that was cut in two at the end.
pub(crate) fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// If every line of `text` begins as `read` shows it (a padded number, a tab), the text without
/// these numbers. A pasted answer of `read` counts up; a table of numbers rarely does.
pub(crate) fn without_line_numbers(text: &str) -> Option<String> {
    let mut expected = None;
    let mut bare = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let digits = line.trim_start_matches(' ');
        let end = digits.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = digits[..end].parse().ok()?;
        if expected.is_some_and(|expected| expected != number) {
            return None;
        }
        expected = Some(number.checked_add(1)?);
        let rest = &digits[end..];
        let mark = ["\t", "→", ": ", "| ", " | "];
        bare.push_str(mark.iter().find_map(|mark| rest.strip_prefix(mark))?);
    }
    (!bare.is_empty()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_told_apart() {
        assert_eq!(LineEnds::of(b"a"), LineEnds::None);
        assert_eq!(LineEnds::of(b"a\nb\n"), LineEnds::Lf);
        assert_eq!(LineEnds::of(b"a\r\nb\r\n"), LineEnds::CrLf);
        assert_eq!(LineEnds::of(b"\r\n\n"), LineEnds::Mixed);
    }

    #[test]
    fn line_numbers_go_only_if_they_count_up() {
        let numbered = "     9\tfn a() {\n    10\t}\n";
        assert_eq!(
            without_line_numbers(numbered).as_deref(),
            Some("fn a() {\n}\n")
        );
        assert_eq!(without_line_numbers("1\ta\n5\tb\n"), None);
        assert_eq!(without_line_numbers("fn a() {\n"), None);
    }

    #[test]
    fn a_cut_line_keeps_whole_characters() {
        assert_eq!(cut("ééé".as_bytes(), 3), "é [... line cut, 4 more bytes]");
    }
}
