//! Whether somebody is called by a text in GitHub's Markdown.

/// Whether `name` (with its `@`) is called by `text`: not in code, not in a quotation, and not in a comment
/// that does not show.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    let said = without_code_spans(&said_lines(&without_comments(text)));
    let (said, name) = (said.to_lowercase(), name.to_lowercase());
    said.match_indices(&name).any(|(at, found)| {
        let before = said[..at].chars().next_back();
        let mut after = said[at + found.len()..].chars();
        let next = after.next();
        !before.is_some_and(is_of_a_name) && !next.is_some_and(|next| goes_on(next, after.next()))
    })
}

/// The text without what is between `<!--` and `-->`, which no reader has seen.
pub(super) fn without_comments(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, hidden)) = rest.split_once("<!--") {
        shown.push_str(before);
        rest = hidden.split_once("-->").map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    shown
}

/// Whether the character before a name makes it part of another one, such as an address.
fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || "_-./@".contains(c)
}

/// Whether another name begins here, such as `@name-2`, `@name/team` or `@name.example`.
fn goes_on(next: char, then: Option<char>) -> bool {
    let is_named = |c: char| c.is_alphanumeric();
    is_named(next)
        || "_-/".contains(next) && then.is_some_and(is_named)
        || next == '.' && then.is_some_and(is_named)
}

/// The lines that are neither quoted nor in a block of code.
fn said_lines(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut fence: Option<(char, usize)> = None;
    let mut may_indent = true;
    for line in text.lines() {
        let marks = fence_of(line);
        match (fence, marks) {
            (Some((of, least)), Some((mark, count, is_bare))) if mark == of => {
                if count >= least && is_bare {
                    fence = None;
                }
                continue;
            }
            (Some(_), _) => continue,
            (None, Some((mark, count, _))) => {
                fence = Some((mark, count));
                continue;
            }
            (None, None) => {}
        }
        let is_blank = line.trim().is_empty();
        let is_indented = line.starts_with("    ") || line.starts_with('\t');
        let is_code = is_indented && may_indent && !is_blank;
        may_indent = is_blank || is_code;
        if !is_code && !line.trim_start().starts_with('>') {
            said.push_str(line);
        }
        said.push('\n');
    }
    said
}

/// The fence that a line is: its character, how many there are, and whether nothing follows.
fn fence_of(line: &str) -> Option<(char, usize, bool)> {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() > 3 {
        return None;
    }
    let mark = text
        .chars()
        .next()
        .filter(|mark| matches!(mark, '`' | '~'))?;
    let count = text.chars().take_while(|c| *c == mark).count();
    let info = &text[count..];
    let is_fence = count >= 3 && !(mark == '`' && info.contains('`'));
    is_fence.then(|| (mark, count, info.trim().is_empty()))
}

/// The text without what is between backticks: as many at the end as at the beginning, in one paragraph.
fn without_code_spans(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let mut shown = String::new();
        let mut rest = paragraph;
        while let Some(at) = rest.find('`') {
            let ticks = rest[at..].bytes().take_while(|byte| *byte == b'`').count();
            let (inside, after) = (&rest[at..at + ticks], &rest[at + ticks..]);
            shown.push_str(&rest[..at]);
            match closing(after, ticks) {
                Some(end) => rest = &after[end..],
                None => {
                    shown.push_str(inside);
                    rest = after;
                }
            }
        }
        shown.push_str(rest);
        shown
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Where a run of exactly `ticks` backticks ends.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let begin = at + found;
        let count = text[begin..]
            .bytes()
            .take_while(|byte| *byte == b'`')
            .count();
        at = begin + count;
        if count == ticks {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> bool {
        mentions(text, "@pullwright")
    }

    #[test]
    fn a_name_in_plain_words_calls() {
        for text in [
            "@pullwright fix this",
            "please, @Pullwright.",
            "(@pullwright)",
            "@pullwright[bot] fix this",
            "**@pullwright**, see `code`",
            "text\r\n\r\n@pullwright: go on",
            "> quoted\n\n@pullwright do it",
            "```\ncode\n```\n@pullwright do it",
            "an `unclosed tick @pullwright",
            "- a list\n    @pullwright in it",
            "<!-- hidden --> @pullwright",
            "cc @pullwright/ please",
        ] {
            assert!(calls(text), "{text:?}");
        }
    }

    #[test]
    fn a_name_that_is_only_shown_does_not() {
        for text in [
            "",
            "pullwright",
            "`@pullwright fix this`",
            "``a ` @pullwright``",
            "> @pullwright fix this",
            "  > @pullwright fix this",
            "```\n@pullwright\n```",
            "~~~sh\n@pullwright\n```\n@pullwright\n~~~",
            "````\n```\n@pullwright\n````",
            "```\n@pullwright in what is never closed",
            "words\n\n    @pullwright in code",
            "\t@pullwright in code",
            "<!-- @pullwright -->",
            "<!-- @pullwright",
        ] {
            assert!(!calls(text), "{text:?}");
        }
    }

    #[test]
    fn another_name_is_another() {
        for text in [
            "@pullwright2",
            "@pullwright-dev",
            "@pullwright/team",
            "@pullwright.example",
            "me@pullwright",
            "x.@pullwright",
            "@@pullwright",
            "@pullwrighté",
        ] {
            assert!(!calls(text), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "[`~>@a \t\n\\-<!é]{0,80}") {
            let _ = mentions(&text, "@a");
        }
    }
}
