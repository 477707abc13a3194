//! The message of a commit: the words of a model, which may hold anything.

/// The longest commit message, in bytes: hosts and their hooks refuse endless ones.
const MAX_BYTES: usize = 64 << 10;

/// The message as a commit can hold it and a terminal can show it: without control characters but line breaks and
/// tabs, and cut where it is too long. Finished work is not refused for its words; empty if nothing is left.
pub(crate) fn suited(message: &str) -> String {
    let is_text = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = message.chars().filter(is_text).collect();
    let text = text.trim_end();
    let cut = text.floor_char_boundary(MAX_BYTES);
    let kept = text.get(..cut).unwrap_or_default().trim_end();
    match kept.trim().is_empty() {
        true => String::new(),
        false => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_and_cleaned_and_not_refused() {
        assert_eq!(
            suited("Add\0 it\r\n\n\tBody\u{1b}[31m.\n\n"),
            "Add it\n\n\tBody[31m."
        );
        for empty in ["", " \n\t", "\0\0", "\u{7f}\n"] {
            assert_eq!(suited(empty), "", "{empty:?}");
        }
        let long = format!("x{}", "é".repeat(MAX_BYTES));
        let cut = suited(&long);
        assert!(long.starts_with(&cut));
        assert_eq!(cut.len(), MAX_BYTES - 1, "a character is not cut in two");
    }
}
