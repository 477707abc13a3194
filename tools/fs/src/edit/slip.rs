//! Slips of the pen that can be mended in old_str alone: a mended text either is in the file or the
//! slip was another.

use super::hint::{Reason, would_match};
use crate::text::without_line_numbers;

type Mend = fn(&str) -> Option<String>;

/// What models get wrong, and how to put it right.
const SLIPS: &[(&str, Mend)] = &[
    (
        "old_str has the line numbers of read's output, which are not part of the file; leave out each number and the tab after it",
        without_line_numbers,
    ),
    (
        "old_str has escapes such as \\n, \\t or \\\" as two characters; write the newline, the tab or the quote itself",
        unescape,
    ),
    (
        "old_str has a real newline or tab where the file has the escape \\n or \\t; write the backslash",
        escape,
    ),
    (
        "old_str has a plain quote, newline or tab where the file has an escape such as \\\"; write the backslash",
        |old| Some(escape(old)?.replace('"', "\\\"")),
    ),
    (
        "old_str has HTML entities such as &lt; or &amp;, but the file has the characters themselves",
        decode_entities,
    ),
    (
        "old_str has characters such as < or & where the file has HTML entities such as &lt; or &amp;",
        encode_entities,
    ),
    (
        "old_str has empty lines around it that the file has not",
        |old| Some(old.trim_matches('\n').to_owned()),
    ),
    (
        "old_str is inside a code fence, which is not part of the file",
        without_fence,
    ),
];

/// The slip that explains why `old` is not in `text`.
pub(super) fn find(text: &str, old: &str) -> Option<Reason> {
    SLIPS.iter().find_map(|(says, mend)| {
        let mended = mend(old).filter(|mended| mended != old)?;
        would_match(says, text, &mended)
    })
}

fn unescape(old: &str) -> Option<String> {
    let mut plain = String::with_capacity(old.len());
    let mut chars = old.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = match (c, chars.peek()) {
            ('\\', Some('n')) => Some("\n"),
            ('\\', Some('t')) => Some("\t"),
            ('\\', Some('r')) => Some(""),
            ('\\', Some('"')) => Some("\""),
            ('\\', Some('\'')) => Some("'"),
            ('\\', Some('\\')) => Some("\\"),
            _ => None,
        };
        match escaped {
            Some(escaped) => {
                chars.next();
                plain.push_str(escaped);
            }
            None => plain.push(c),
        }
    }
    Some(plain)
}

/// All but the line end at the very end, which is rarely inside the quoted text.
fn escape(old: &str) -> Option<String> {
    let old = old.strip_suffix('\n').unwrap_or(old);
    Some(old.replace('\n', "\\n").replace('\t', "\\t"))
}

/// `&amp;` last: `&amp;lt;` is the text `&lt;`.
const ENTITIES: &[(&str, &str)] = &[
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&apos;", "'"),
    ("&nbsp;", " "),
    ("&amp;", "&"),
];

fn decode_entities(old: &str) -> Option<String> {
    let decode = |text: String, (entity, plain): &(&str, &str)| text.replace(entity, plain);
    Some(ENTITIES.iter().fold(old.to_owned(), decode))
}

fn encode_entities(old: &str) -> Option<String> {
    Some(
        old.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;"),
    )
}

fn without_fence(old: &str) -> Option<String> {
    let inner = old.trim().strip_prefix("```")?.strip_suffix("```")?;
    let (_language, code) = inner.split_once('\n')?;
    Some(code.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_backslash_is_not_an_escape() {
        assert_eq!(unescape(r"a\\n").as_deref(), Some(r"a\n"));
        assert_eq!(unescape(r"a\n\tb").as_deref(), Some("a\n\tb"));
    }

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(decode_entities("&amp;lt;").as_deref(), Some("&lt;"));
    }

    #[test]
    fn the_right_text_has_no_slip() {
        assert!(find("a < b", "a > b").is_none());
    }
}
