//! Text of a model without anything that GitHub or git acts on.
//!
//! It is shown inside a fence, where GitHub acts on nothing. But a squash merge copies the
//! description into the commit message, where there are no fences, so the text must be harmless by
//! itself: a zero-width space is put into whatever would call somebody, close something, or be a
//! link, a comment or a tag. To a reader it looks the same.

/// Breaks a sequence apart without showing.
const BREAK: char = '\u{200b}';
/// Stands for a character that would change how the text around it is shown.
const REPLACEMENT: char = '\u{fffd}';

/// `text`, harmless in Markdown and in a commit message.
pub(crate) fn neutral(text: &str) -> String {
    let text = clean(text);
    let mut safe = String::with_capacity(text.len());
    for (at, char) in text.char_indices() {
        safe.push(char);
        let before = &text[..at];
        let after = &text[at + char.len_utf8()..];
        if must_break(before, char, after) {
            safe.push(BREAK);
        }
    }
    safe
}

/// Line ends made uniform; other control characters, and those that turn the direction of text,
/// made visible.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let shown = |char: char| match char {
        '\n' | '\t' => char,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => REPLACEMENT,
        other if other.is_control() => REPLACEMENT,
        other => other,
    };
    text.chars().map(shown).collect()
}

/// Whether something that is acted on would go on after `char`.
fn must_break(before: &str, char: char, after: &str) -> bool {
    let next = after.chars().next();
    match char {
        _ if next == Some(BREAK) => false,
        // @user, @org/team
        '@' => next.is_some_and(|next| !next.is_whitespace()),
        // #12, owner/repo#12
        '#' => next.is_some_and(char::is_numeric),
        // GH-12
        '-' => next.is_some_and(char::is_numeric) && ends_with_word(before, "gh"),
        // https://…, any scheme
        ':' => after.starts_with("//"),
        // www.…
        '.' => ends_with_word(before, "www"),
        // <!-- comments -->, <img>, </details>, <?…?>
        '<' => next.is_some_and(|next| next.is_alphabetic() || "!/?".contains(next)),
        // ![image](…), [link](…)
        ']' => matches!(next, Some('(' | '[' | ':')),
        _ => false,
    }
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let start = text.len().saturating_sub(word.len());
    text.get(start..)
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_github_acts_on_is_broken_apart() {
        let table = [
            ("@octocat", "@|octocat"),
            ("(@org/team)", "(@|org/team)"),
            ("fixes #12", "fixes #|12"),
            ("Closes: owner/repo#12", "Closes: owner/repo#|12"),
            ("resolves gh-7 and GH-8", "resolves gh-|7 and GH-|8"),
            (
                "fix https://github.com/o/r/issues/1",
                "fix https:|//github.com/o/r/issues/1",
            ),
            ("www.example.com", "www.|example.com"),
            ("<!-- hidden -->", "<|!-- hidden -->"),
            ("<img src=x></details>", "<|img src=x><|/details>"),
            ("![x](y) [a][b]\n[b]: c", "![x]|(y) [a]|[b]\n[b]|: c"),
        ];
        for (text, expected) in table {
            assert_eq!(neutral(text), expected.replace('|', "\u{200b}"), "{text}");
        }
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        for plain in [
            "if a < b && c > d { e[1] } // 50 % @ 3",
            "# Heading\n\n- item - 1\n\tcode -5 night-1",
            "schema: x, C# and F#, Grüße 你好 🦀",
        ] {
            assert_eq!(neutral(plain), plain);
        }
    }

    #[test]
    fn twice_is_the_same_as_once() {
        let once = neutral("@octocat fixes #12 at https://example.com <!-- x --> GH-1 www.a");
        assert_eq!(neutral(&once), once);
    }

    #[test]
    fn characters_that_hide_are_made_visible() {
        assert_eq!(
            neutral("a\u{202e}b\u{0}\u{1b}[31m"),
            "a\u{fffd}b\u{fffd}\u{fffd}[31m"
        );
        assert_eq!(neutral("a\r\nb\rc"), "a\nb\nc");
        assert_eq!(neutral("@\u{7}octocat"), "@\u{200b}\u{fffd}octocat");
    }
}
