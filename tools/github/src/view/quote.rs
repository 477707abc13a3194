//! Other people's words, marked as such.

use pullwright_tool_kit::bounded_text;

use super::MAX_TEXT_BYTES;
use crate::model::{Label, User};

/// A text of any length, each line marked as quoted.
pub(super) fn quote(text: Option<&str>) -> String {
    let text = text
        .unwrap_or_default()
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    if text.trim().is_empty() {
        return "> (no text)\n".to_owned();
    }
    let text = bounded_text(
        text.trim_end(),
        MAX_TEXT_BYTES,
        "The rest is on GitHub only.",
    );
    text.split('\n')
        .map(|line| format!("> {}\n", visible(line)))
        .collect()
}

/// A short text that must stay on its line.
pub(super) fn line(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    bounded_text(&visible(&text), MAX_TEXT_BYTES, "")
}

/// Who wrote it; accounts can be deleted.
pub(super) fn author(user: Option<&User>) -> String {
    match user {
        Some(user) => line(&user.login),
        None => "a deleted account".to_owned(),
    }
}

/// When, as GitHub gives it.
pub(super) fn date(at: Option<&str>) -> String {
    at.map(|at| format!(" on {}", line(at))).unwrap_or_default()
}

pub(super) fn labels(labels: &[Label]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let names: Vec<String> = labels.iter().map(|label| line(&label.name)).collect();
    format!("labels: {}\n", names.join(", "))
}

/// Control characters, such as those that clear a terminal, and line ends of other alphabets.
fn visible(text: &str) -> String {
    let hides =
        |char: char| (char.is_control() && char != '\t') || matches!(char, '\u{2028}' | '\u{2029}');
    text.replace(hides, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_marked() {
        assert_eq!(
            quote(Some("a\r\n\nb\rc\u{1b}[2J\n")),
            "> a\n> \n> b\n> c\u{fffd}[2J\n"
        );
        assert_eq!(quote(Some(" \n")), "> (no text)\n");
        assert_eq!(quote(None), "> (no text)\n");
    }

    #[test]
    fn the_note_on_a_shortened_text_is_quoted_too() {
        let quoted = quote(Some(&"x\n".repeat(MAX_TEXT_BYTES)));
        assert!(quoted.contains("left out"), "{quoted}");
        assert!(quoted.lines().all(|line| line.starts_with("> ")));
    }

    #[test]
    fn a_title_stays_on_its_line() {
        assert_eq!(line("a\nb\u{2028}c"), "a b\u{fffd}c");
    }
}
