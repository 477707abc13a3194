//! Output with a bound: the head and the tail are kept, the middle is counted.

use std::collections::VecDeque;

/// Keeps the first and the last bytes of a stream of any length.
#[derive(Debug)]
pub struct HeadTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_limit: usize,
    tail_limit: usize,
    total: u64,
}

impl HeadTail {
    /// Keeps at most `limit` bytes: half from the beginning, half from the end.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let tail_limit = limit / 2;
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_limit: limit - tail_limit,
            tail_limit,
            total: 0,
        }
    }

    /// Takes in more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_limit - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(self.tail_limit)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    /// How many bytes came in.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many bytes were left out.
    #[must_use]
    pub fn omitted(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// The kept text. Where something was left out, a line between head and tail says how much,
    /// followed by `hint`: how to see it. Invalid UTF-8 becomes replacement characters.
    #[must_use]
    pub fn render(mut self, hint: &str) -> String {
        let omitted = self.omitted();
        let tail = self.tail.make_contiguous();
        if omitted == 0 {
            self.head.extend_from_slice(tail);
            return String::from_utf8_lossy(&self.head).into_owned();
        }
        let head = trim_partial_end(&self.head);
        let tail = trim_partial_start(tail);
        format!(
            "{}\n[... {omitted} bytes left out of {}. {hint} ...]\n{}",
            String::from_utf8_lossy(head),
            self.total,
            String::from_utf8_lossy(tail),
        )
    }
}

/// `text` in at most about `limit` bytes: head and tail, with a line between that says how much was
/// left out and, by `hint`, how to see it.
#[must_use]
pub fn bounded_text(text: &str, limit: usize, hint: &str) -> String {
    let mut kept = HeadTail::new(limit);
    kept.push(text.as_bytes());
    kept.render(hint)
}

/// Without a character that was cut in two at the end.
fn trim_partial_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Without the rest of a character that was cut in two at the start.
fn trim_partial_start(bytes: &[u8]) -> &[u8] {
    let continuation = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
    &bytes[bytes.iter().take(3).take_while(continuation).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_whole() {
        assert_eq!(bounded_text("häuser", 64, "see more"), "häuser");
    }

    #[test]
    fn long_output_keeps_head_and_tail_and_counts_the_rest() {
        let text = format!("{}{}{}", "a".repeat(8), "b".repeat(100), "c".repeat(8));
        assert_eq!(
            bounded_text(&text, 16, "Run it again with tail."),
            "aaaaaaaa\n[... 100 bytes left out of 116. Run it again with tail. ...]\ncccccccc"
        );
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        let text = "é".repeat(50);
        let kept = bounded_text(&text, 15, "");
        assert!(!kept.contains('\u{fffd}'), "{kept}");
    }

    #[test]
    fn the_same_bytes_in_any_pieces_give_the_same_text() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut whole = HeadTail::new(99);
        whole.push(&bytes);
        let mut pieces = HeadTail::new(99);
        bytes.chunks(7).for_each(|chunk| pieces.push(chunk));
        assert_eq!(whole.render("x"), pieces.render("x"));
    }
}
