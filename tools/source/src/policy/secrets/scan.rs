//! Looks for all keywords at once, and only where one is found for the forms that go with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::bytes::Captures;

use super::randomness::{entropy, is_mixed, is_placeholder};
use super::rules::{RULES, Rule, pattern};

/// How far a rule reads from its keyword on, in bytes: a line may be as long as its file, and is then read in
/// such parts, each of them once.
const SPAN_BYTES: usize = 8192;

/// How far a rule's keyword may be from the ends of what the rule matches, in bytes.
const LONGEST_BYTES: usize = 1024;

/// Something that looks like a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// Finds the keywords of all rules; the number of a pattern is that of its place in [`OWNERS`].
static KEYWORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let keywords = RULES.iter().flat_map(|rule| rule.keywords);
    let mut builder = AhoCorasick::builder();
    builder.ascii_case_insensitive(true).build(keywords).ok()
});

/// The rule of each keyword.
static OWNERS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let rules = RULES.iter().enumerate();
    rules
        .flat_map(|(number, rule)| std::iter::repeat_n(number, rule.keywords.len()))
        .collect()
});

/// What looks like a secret in the lines that are new: one finding a line.
pub(super) fn findings(text: &[u8], is_new: impl Fn(&[u8]) -> bool) -> Vec<Finding> {
    let Some(keywords) = KEYWORDS.as_ref() else {
        return Vec::new();
    };
    let mut found = BTreeMap::new();
    let mut read_to = [0; RULES.len()];
    let (mut line, mut line_is_new) = (Line { start: 0, end: 0 }, false);
    for hit in keywords.find_overlapping_iter(text) {
        if hit.end() > line.end {
            line = Line::around(text, hit.start());
            line_is_new = is_new(line.of(text));
        }
        let number = OWNERS[hit.pattern().as_usize()];
        let was_read = hit.start() + LONGEST_BYTES < read_to[number];
        if !line_is_new || was_read || found.contains_key(&line.start) {
            continue;
        }
        let rule = &RULES[number];
        let span = line.span_for(rule, text, hit.start());
        read_to[number] = span.end;
        let in_line = line.end - span.start;
        if holds(number, rule, &text[span], in_line) {
            found.insert(line.start, rule.what);
        }
    }
    number_lines(text, found)
}

/// Whether the form is there, beginning within the first `in_line` bytes, and looks real.
fn holds(number: usize, rule: &Rule, text: &[u8], in_line: usize) -> bool {
    let Some(pattern) = pattern(number) else {
        return false;
    };
    let begins_here =
        |captures: &Captures<'_>| captures.get(0).is_some_and(|whole| whole.start() < in_line);
    pattern
        .captures_iter(text)
        .filter(begins_here)
        .any(|captures| {
            let secret = captures.name("secret").or_else(|| captures.get(0));
            let secret = secret.map_or(&[][..], |secret| secret.as_bytes());
            // A form without a measure of its own is one that nobody writes by hand.
            rule.min_entropy == 0.0
                || (entropy(secret) >= rule.min_entropy
                    && is_mixed(secret)
                    && !is_placeholder(secret))
        })
}

/// A line, without its end.
struct Line {
    start: usize,
    end: usize,
}

impl Line {
    fn around(text: &[u8], at: usize) -> Self {
        let (before, after) = text.split_at(at);
        let start = before.iter().rposition(|byte| *byte == b'\n');
        let end = after.iter().position(|byte| *byte == b'\n');
        Self {
            start: start.map_or(0, |newline| newline + 1),
            end: end.map_or(text.len(), |newline| at + newline),
        }
    }

    fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start..self.end]
    }

    /// The part of the text that a rule reads when its keyword is at `at`.
    fn span_for(&self, rule: &Rule, text: &[u8], at: usize) -> Range<usize> {
        let start = self.start.max(at.saturating_sub(LONGEST_BYTES));
        let end = match rule.spans_lines {
            true => text.len(),
            false => self.end,
        };
        start..end.min(at + SPAN_BYTES)
    }
}

fn number_lines(text: &[u8], found: BTreeMap<usize, &'static str>) -> Vec<Finding> {
    let (mut line, mut counted) = (1, 0);
    let numbered = found.into_iter().map(|(start, what)| {
        let newlines = text[counted..start].iter().filter(|byte| **byte == b'\n');
        line += newlines.count();
        counted = start;
        Finding { line, what }
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        let found = findings(text.as_bytes(), |_| true);
        found.into_iter().map(|one| (one.line, one.what)).collect()
    }

    /// Written in two parts, so that nobody takes this file for one that holds secrets.
    fn sample(begin: &str, rest: &str) -> String {
        format!("{begin}{rest}")
    }

    #[test]
    fn keywords_can_be_looked_for() {
        assert!(KEYWORDS.is_some());
        let keywords: usize = RULES.iter().map(|rule| rule.keywords.len()).sum();
        assert_eq!(OWNERS.len(), keywords);
    }

    #[test]
    fn known_forms_are_found_in_their_line() {
        let samples = [
            (
                "a GitHub token",
                "gh",
                "p_wTz4Kq9LmX2vBn7RsYd1Fc8JhG5pQa3UeZ0o",
            ),
            ("an AWS access key", "AK", "IAQ3ZLT7XW5NUE2JKR"),
            ("a GitLab token", "glp", "at-x7Rk2mQz9LwVb4TnYc8H"),
            (
                "an Anthropic key",
                "sk-a",
                "nt-api03-q8Zr2LpVw9TkYc5Hn3DsMf7Gx1Bv6Jt4Qa0Ue-Ro_iW",
            ),
            (
                "a Slack token",
                "xo",
                "xb-291847563012-8473625190847-Zq8RtY2LpVw9TkYc5Hn3DsMf",
            ),
            (
                "an npm token",
                "np",
                "m_q8Zr2LpVw9TkYc5Hn3DsMf7Gx1Bv6Jt4Qa0U",
            ),
            ("a Stripe key", "sk_l", "ive_q8Zr2LpVw9TkYc5Hn3DsMf7G"),
            (
                "a Google API key",
                "AI",
                "zaSyQ8Zr2LpVw9TkYc5Hn3DsMf7Gx1Bv6Jt4Q",
            ),
        ];
        for (what, begin, rest) in samples {
            let text = format!(
                "# settings\n\nKEY = \"{}\"\nlast = 1\n",
                sample(begin, rest)
            );
            assert_eq!(found(&text), [(3, what)], "{begin}{rest}");
        }
    }

    #[test]
    fn a_private_key_is_told_from_talk_about_one() {
        let body = "MIIEpAIBAAKCAQEAq8Zr2LpVw9TkYc5Hn3DsMf7Gx1Bv6Jt4Qa0UeRoiWq8Zr2Lp\n";
        let key = sample("-----BEGIN RSA PRIV", "ATE KEY-----\n") + body;
        assert_eq!(found(&format!("\n{key}")), [(2, "a private key")]);
        let escaped = key.replace('\n', "\\n");
        assert_eq!(
            found(&format!("{{\"key\": \"{escaped}\"}}")),
            [(1, "a private key")]
        );
        let talk = sample(
            "It begins with -----BEGIN RSA PRIV",
            "ATE KEY-----, as PEM has it.\n",
        );
        assert_eq!(found(&talk), []);
    }

    #[test]
    fn what_is_called_a_secret_must_look_random() {
        let random = "q8Zr2LpVw9TkYc5Hn3DsMf7G";
        let what = "what its name calls a secret";
        for line in [
            format!("client_secret = \"{random}\""),
            format!("\"apiKey\": \"{random}\","),
            format!("DB_PASSWORD: '{random}'"),
        ] {
            assert_eq!(found(&line), [(1, what)], "{line}");
        }
        for line in [
            "password = \"correct-horse-battery-staple\"",
            "token = \"your-token-goes-here-123\"",
            "secret: \"${SECRET_FROM_THE_VAULT_1}\"",
            "const TOKEN_KIND = \"IdentifierOrKeyword\"",
            "api_key = os.environ[\"SERVICE_API_KEY_2\"]",
            "password_hash_algorithm = \"argon2id-19-65536-3-4\"",
        ] {
            assert_eq!(found(line), [], "{line}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_found() {
        let url = sample("postgres://app:q8Zr2LpV", "w9TkYc5H@db.internal:5432/app");
        assert_eq!(found(&url), [(1, "a password in an address")]);
        assert_eq!(found("postgres://user:password@localhost/app"), []);
        assert_eq!(found("https://user:${PASSWORD_OF_APP_1}@host/"), []);
    }

    #[test]
    fn lines_that_were_there_before_are_not_read() {
        let line = format!(
            "KEY = \"{}\"",
            sample("gh", "p_wTz4Kq9LmX2vBn7RsYd1Fc8JhG5pQa3UeZ0o")
        );
        let text = format!("a\n{line}\nb\n");
        assert_eq!(
            findings(text.as_bytes(), |known| known != line.as_bytes()),
            []
        );
    }

    #[test]
    fn a_line_as_long_as_its_file_is_read_to_its_end() {
        let secret = sample("gh", "p_wTz4Kq9LmX2vBn7RsYd1Fc8JhG5pQa3UeZ0o");
        let filler = "var token=1;".repeat(100_000);
        assert_eq!(
            found(&format!("{filler}\"{secret}\";{filler}")),
            [(1, "a GitHub token")]
        );
        // As many keywords as bytes: each part is read once for each rule.
        assert_eq!(found(&"ghp_".repeat(1_000_000)), []);
    }
}
