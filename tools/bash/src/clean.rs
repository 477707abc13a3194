//! Takes out of a command's output what only a terminal understands.
//!
//! Escape sequences disappear, a line that is written over (a progress bar) keeps its last state,
//! backspaces erase, other control characters are dropped. The result depends on the bytes alone,
//! not on the pieces they come in.

/// A line longer than this is passed on as it grows, so that output without line ends cannot fill
/// memory. A carriage return then only erases what came after.
const MAX_HELD_LINE_BYTES: usize = 16 * 1024;

/// A character of UTF-8 has at most this many bytes after its first.
const MAX_CONTINUATION_BYTES: usize = 3;

/// An escape sequence longer than this is none: its rest is text again, so that a lone escape
/// character in binary output cannot swallow everything behind it.
const MAX_SEQUENCE_BYTES: usize = 4 * 1024;

const BACKSPACE: u8 = 0x08;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
const DELETE: u8 = 0x7f;

/// The cleaner's memory between pieces.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    line: Vec<u8>,
    /// A carriage return came: the next character starts the line anew.
    returned: bool,
    state: State,
    sequence_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After an escape character.
    Escape,
    /// Between an escape character with an intermediate byte and its last byte.
    Intermediate,
    /// In a control sequence, up to its final byte.
    Control,
    /// In a title, hyperlink or the like, up to a bell or a string terminator.
    Title,
    /// As before, after an escape character that may begin the terminator.
    TitleEscape,
}

impl Cleaner {
    /// Takes in a piece and appends what is settled to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if matches!(self.state, State::Text) {
                let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
                if plain > 0 {
                    self.text(&rest[..plain], out);
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(byte, out);
            rest = after;
        }
    }

    /// Appends the unfinished last line.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.line);
        self.returned = false;
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !matches!(self.state, State::Text) {
            self.sequence_bytes += 1;
            // A terminal takes these as the end of any sequence.
            let broken = matches!(byte, CANCEL | SUBSTITUTE);
            if broken || self.sequence_bytes > MAX_SEQUENCE_BYTES {
                self.state = State::Text;
                return;
            }
        }
        self.state = match self.state {
            State::Text => self.control(byte, out),
            State::Escape => match byte {
                b'[' => State::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => State::Title,
                b' '..=b'/' => State::Intermediate,
                ESCAPE => State::Escape,
                b'\n' => self.control(byte, out),
                _ => State::Text,
            },
            State::Intermediate => match byte {
                b' '..=b'/' => State::Intermediate,
                b'\n' => self.control(byte, out),
                _ => State::Text,
            },
            State::Control => match byte {
                b'K' if self.returned => {
                    self.erase_line();
                    State::Text
                }
                b'@'..=b'~' => State::Text,
                b'\n' | ESCAPE => self.control(byte, out),
                _ => State::Control,
            },
            State::Title => match byte {
                BELL => State::Text,
                ESCAPE => State::TitleEscape,
                _ => State::Title,
            },
            State::TitleEscape => match byte {
                b'\\' => State::Text,
                ESCAPE => State::TitleEscape,
                _ => State::Title,
            },
        };
    }

    /// A control character in text.
    fn control(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match byte {
            b'\n' => {
                out.append(&mut self.line);
                out.push(b'\n');
                self.returned = false;
            }
            b'\r' => self.returned = true,
            BACKSPACE => self.erase_character(),
            ESCAPE => {
                self.sequence_bytes = 0;
                return State::Escape;
            }
            _ => {}
        }
        State::Text
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.returned {
            self.erase_line();
        }
        let room = (MAX_HELD_LINE_BYTES + MAX_CONTINUATION_BYTES).saturating_sub(self.line.len());
        if text.len() < room.saturating_sub(MAX_CONTINUATION_BYTES) {
            self.line.extend_from_slice(text);
            return;
        }
        for &byte in text {
            let full = self.line.len() >= MAX_HELD_LINE_BYTES;
            let between = !is_continuation(byte);
            if full && (between || self.line.len() >= MAX_HELD_LINE_BYTES + MAX_CONTINUATION_BYTES)
            {
                out.append(&mut self.line);
            }
            self.line.push(byte);
        }
    }

    fn erase_line(&mut self) {
        self.line.clear();
        self.returned = false;
    }

    fn erase_character(&mut self) {
        while let Some(byte) = self.line.pop() {
            if !is_continuation(byte) {
                break;
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != DELETE)
}

fn is_continuation(byte: u8) -> bool {
    (byte & 0b1100_0000) == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut cleaner, mut out) = (Cleaner::default(), Vec::new());
        for piece in pieces {
            cleaner.push(piece, &mut out);
        }
        cleaner.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(raw: &str, cleaned: &str) {
        assert_eq!(String::from_utf8_lossy(&clean(&[raw.as_bytes()])), cleaned);
    }

    #[test]
    fn colours_and_cursor_moves_disappear() {
        check(
            "\x1b[1;31merror\x1b[0m: no\x1b[2A\x1b(B\x1b=\n",
            "error: no\n",
        );
    }

    #[test]
    fn titles_and_hyperlinks_disappear() {
        check(
            "\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n",
            "alink\n",
        );
    }

    #[test]
    fn a_progress_bar_keeps_its_last_state() {
        check(" 10%\r 50%\r100%\ndone\n", "100%\ndone\n");
        check(" 10%\r\x1b[K\n", "\n");
        check("half\r", "half");
    }

    #[test]
    fn windows_line_ends_become_plain_ones() {
        check("one\r\ntwo\r\r\n", "one\ntwo\n");
    }

    #[test]
    fn backspaces_erase_whole_characters() {
        check("N\x08NA\x08AME é\x08e\n", "NAME e\n");
    }

    #[test]
    fn other_control_characters_are_dropped() {
        check("a\0b\x07c\x7fd\te\n", "abcd\te\n");
    }

    #[test]
    fn an_unended_sequence_does_not_swallow_the_output() {
        let raw = format!("\x1b]{}end\n", "x".repeat(MAX_SEQUENCE_BYTES));
        let cleaned = clean(&[raw.as_bytes()]);
        assert!(cleaned.ends_with(b"end\n"), "{} bytes", cleaned.len());
    }

    #[test]
    fn a_line_without_end_is_passed_on_between_characters() {
        let (mut cleaner, mut out) = (Cleaner::default(), Vec::new());
        cleaner.push("xé".repeat(MAX_HELD_LINE_BYTES).as_bytes(), &mut out);
        assert!(cleaner.line.len() <= MAX_HELD_LINE_BYTES + MAX_CONTINUATION_BYTES);
        assert!(std::str::from_utf8(&out).is_ok());
    }

    /// Bytes in which what the cleaner cares about is frequent.
    fn noisy_bytes() -> impl Strategy<Value = Vec<u8>> {
        let special = prop::sample::select(b"\x1b\r\n\x08\x07[]K\\m;PA\xc3\xa9\x18(".to_vec());
        prop::collection::vec(prop_oneof![special, any::<u8>()], 0..400)
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_text(
            bytes in noisy_bytes(),
            long in 0..3_usize,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut bytes = bytes;
            bytes.extend("aé".repeat(long * MAX_HELD_LINE_BYTES / 4).as_bytes());
            bytes.extend(b"\rz\x08");
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(clean(&pieces), clean(&[&bytes]));
        }

        #[test]
        fn no_control_character_is_left(bytes in noisy_bytes()) {
            let left = clean(&[&bytes]);
            prop_assert!(left.iter().all(|byte| *byte == b'\n' || is_plain(*byte)));
        }
    }
}
