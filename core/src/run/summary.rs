//! The model's last words, as a title and a body.

/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 72;

/// What a change is called whose author found no word for it.
const FALLBACK_TITLE: &str = "Change the code as asked";

/// Splits a word for programs and not for readers.
const INVISIBLE_SPACE: &str = "\u{200b}";

/// Words that close the issue that follows.
const CLOSING_WORDS: &[&str] = &[
    "close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved",
];

/// What makes code hosts skip their checks, wherever it stands in a message.
const SKIP_MARKERS: &[&str] = &[
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip actions]",
    "[actions skip]",
    "skip-checks:",
];

/// What the change is called and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) title: String,
    pub(super) body: String,
}

impl Summary {
    /// Takes the first line as the title; the task itself where the model said nothing.
    pub(super) fn parse(last_words: &str, prompt: &str) -> Self {
        let words = match last_words.trim() {
            "" => prompt.trim(),
            words => words,
        };
        let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
        let plain = plain(first);
        let title = shortened(plain);
        if title.is_empty() {
            return Self::parse(rest, FALLBACK_TITLE);
        }
        let body = if title == plain { rest } else { words };
        Self {
            title,
            body: body.trim().to_owned(),
        }
    }

    /// What a change of several commits is called and what is said of it: the first one's title, and then
    /// what is said of each. `earlier` are title and body of each before `last`.
    pub(super) fn of_all(earlier: &[String], last: &Self) -> Self {
        let [first, rest @ ..] = earlier else {
            return last.clone();
        };
        let first = Self::parse(first, FALLBACK_TITLE);
        let rest = rest.iter().map(|words| Self::parse(words, FALLBACK_TITLE));
        let rest = rest.chain([last.clone()]).map(|summary| summary.whole());
        let all: Vec<String> = [first.body].into_iter().chain(rest).collect();
        Self {
            title: first.title,
            body: all.join("\n\n").trim().to_owned(),
        }
    }

    /// What commits are called that were pushed before. `words` are title and body of each.
    pub(super) fn of_pushed(words: &[String]) -> Self {
        let (last, earlier) = words
            .split_last()
            .map_or(("", words), |(last, earlier)| (last, earlier));
        Self::of_all(earlier, &Self::parse(last, FALLBACK_TITLE))
    }

    /// Title and body, as a commit message. A code host acts on some words in one: they are broken by
    /// an invisible space, since a model may have them from anywhere.
    /// `co_authors` are from the configuration, as `Name <mail>`, and stand there as git takes them.
    pub(super) fn commit_message(&self, co_authors: &[String]) -> String {
        let message = disarmed(&self.whole());
        if co_authors.is_empty() {
            return message;
        }
        let trailers: Vec<String> = co_authors
            .iter()
            .map(|author| format!("Co-authored-by: {author}"))
            .collect();
        format!("{}\n\n{}", message.trim_end(), trailers.join("\n"))
    }

    /// Title and body.
    pub(super) fn whole(&self) -> String {
        match self.body.as_str() {
            "" => self.title.clone(),
            body => format!("{}\n\n{body}", self.title),
        }
    }
}

/// Breaks what code hosts act on: mentions, references to issues, and markers that skip checks.
fn disarmed(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut closes = false;
    for word in text.split_inclusive(char::is_whitespace) {
        safe.push_str(&disarmed_word(word, closes));
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        closes = CLOSING_WORDS.contains(&bare.to_ascii_lowercase().as_str());
    }
    for marker in SKIP_MARKERS {
        // ASCII case does not change where anything stands.
        while let Some(at) = safe.to_ascii_lowercase().find(marker) {
            safe.insert_str(at + 1, INVISIBLE_SPACE);
        }
    }
    safe
}

fn disarmed_word(word: &str, closes: bool) -> String {
    let mut safe = String::with_capacity(word.len());
    let mut rest = word.chars().peekable();
    while let Some(c) = rest.next() {
        safe.push(c);
        let refers = c == '#' && rest.peek().is_some_and(char::is_ascii_digit);
        if c == '@' || refers {
            safe.push_str(INVISIBLE_SPACE);
        }
    }
    let lower = word.to_ascii_lowercase();
    if closes && (lower.contains("gh-") || lower.contains("://")) {
        let at = safe.find(['-', ':']).unwrap_or_default();
        safe.insert_str(at, INVISIBLE_SPACE);
    }
    safe
}

/// A line without the marks of a heading or of bold text.
fn plain(line: &str) -> &str {
    line.trim_start_matches('#').trim().trim_matches('*').trim()
}

/// Cut at the last word that fits.
fn shortened(line: &str) -> String {
    if line.chars().count() <= MAX_TITLE_CHARS {
        return line.to_owned();
    }
    let head: String = line.chars().take(MAX_TITLE_CHARS - 1).collect();
    let cut = head.rfind(' ').unwrap_or(head.len());
    format!("{}…", head[..cut].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_title() {
        let summary = Summary::parse("## **Fix the parser**\n\nIt was wrong.\n", "task");
        assert_eq!(summary.title, "Fix the parser");
        assert_eq!(summary.body, "It was wrong.");
        assert_eq!(summary.whole(), "Fix the parser\n\nIt was wrong.");
    }

    #[test]
    fn a_long_first_line_is_cut_and_kept_in_the_body() {
        let line = "word ".repeat(30);
        let summary = Summary::parse(&line, "task");
        assert!(summary.title.chars().count() <= MAX_TITLE_CHARS);
        assert!(summary.title.ends_with("word…"));
        assert_eq!(summary.body, line.trim());
    }

    #[test]
    fn a_commit_message_makes_no_code_host_act() {
        let table = [
            ("Fix the parser, see a.rs#L1", "Fix the parser, see a.rs#L1"),
            ("Fixes #12 and o/r#3", "Fixes #~12 and o/r#~3"),
            ("closes: GH-7", "closes: GH~-7"),
            (
                "Resolves https://h/o/r/issues/1",
                "Resolves https~://h/o/r/issues/1",
            ),
            ("see https://h/o/r", "see https://h/o/r"),
            ("cc @team", "cc @~team"),
            ("Co-authored-by: A <a@b.c>", "Co-authored-by: A <a@~b.c>"),
            (
                "x [Skip CI] y\nskip-checks: true",
                "x [~Skip CI] y\ns~kip-checks: true",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(
                disarmed(text),
                expected.replace('~', INVISIBLE_SPACE),
                "{text}"
            );
        }
    }

    #[test]
    fn a_title_is_never_empty() {
        assert_eq!(Summary::parse("#\n**\nFix it", "task").title, "Fix it");
        assert_eq!(Summary::parse("##", "**").title, FALLBACK_TITLE);
    }

    #[test]
    fn several_commits_are_one_change() {
        let last = Summary::parse("Rename the flag\n\nAs asked.", "task");
        let earlier = ["Add a flag\n\nIt is new.".to_owned(), "Test it".to_owned()];
        let all = Summary::of_all(&earlier, &last);
        assert_eq!(all.title, "Add a flag");
        assert_eq!(
            all.body,
            "It is new.\n\nTest it\n\nRename the flag\n\nAs asked."
        );
        assert_eq!(Summary::of_all(&[], &last), last);
    }

    #[test]
    fn a_silent_model_leaves_the_task_as_the_title() {
        assert_eq!(Summary::parse(" \n", "Do it").whole(), "Do it");
    }
}
