//! What an error repeats of a text that may be long.

/// How much of a text's beginning is repeated.
const FIRST_CHARS: usize = 2000;
/// How much of its end: an error says there what to do.
const LAST_CHARS: usize = 300;

/// `text`, without its middle if it is long. Only for a text without secrets: half of one would be left.
pub(crate) fn without_middle(text: String) -> String {
    let first = text.char_indices().nth(FIRST_CHARS);
    let last = text.char_indices().nth_back(LAST_CHARS - 1);
    match (first, last) {
        (Some((first, _)), Some((last, _))) if first < last => {
            format!("{} … {}", &text[..first], &text[last..])
        }
        _ => text,
    }
}

/// `text` on one line, without anything that would move a terminal's cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
