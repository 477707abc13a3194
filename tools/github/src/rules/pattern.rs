//! Patterns that names, messages and addresses have to match.

use std::fmt;

use regex::bytes::RegexBuilder;
use serde::Deserialize;

/// A larger expression is not tried: it comes from a repository.
const MAX_REGEX_BYTES: usize = 64 * 1024;

/// What a rule asks of a text.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pattern {
    operator: String,
    pattern: String,
    #[serde(default)]
    negate: bool,
}

impl Pattern {
    /// Whether the rule takes the text; `None` where that cannot be told.
    pub(super) fn takes(&self, text: &str) -> Option<bool> {
        let matches = match &*self.operator {
            "starts_with" => text.starts_with(&self.pattern),
            "ends_with" => text.ends_with(&self.pattern),
            "contains" => text.contains(&self.pattern),
            "regex" => self.finds(text)?,
            _ => return None,
        };
        Some(matches != self.negate)
    }

    /// GitHub's syntax is RE2's, whose classes are of ASCII: that much is the same here.
    fn finds(&self, text: &str) -> Option<bool> {
        if !text.is_ascii() {
            return None;
        }
        let mut builder = RegexBuilder::new(&self.pattern);
        let builder = builder.unicode(false).size_limit(MAX_REGEX_BYTES);
        Some(builder.build().ok()?.is_match(text.as_bytes()))
    }
}

/// As in "names that …".
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match (&*self.operator, self.negate) {
            ("starts_with", false) => "start with",
            ("starts_with", true) => "do not start with",
            ("ends_with", false) => "end with",
            ("ends_with", true) => "do not end with",
            ("contains", false) => "contain",
            ("contains", true) => "do not contain",
            (_, false) => "match",
            (_, true) => "do not match",
        };
        write!(f, "{does} `{}`", shown(&self.pattern))
    }
}

/// A pattern or a name as people get to see it, on one short line.
pub(super) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    let mut shown: String = text
        .chars()
        .filter(|c| !c.is_control() && *c != '`')
        .take(MAX_CHARS)
        .collect();
    if text.chars().count() > MAX_CHARS {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(operator: &str, pattern: &str, negate: bool) -> Option<bool> {
        let pattern = Pattern {
            operator: operator.to_owned(),
            pattern: pattern.to_owned(),
            negate,
        };
        pattern.takes("pullwright/fix-42")
    }

    #[test]
    fn each_operator_is_decided_and_can_be_turned_round() {
        for (operator, pattern, expected) in [
            ("starts_with", "pullwright/", true),
            ("starts_with", "feature/", false),
            ("ends_with", "-42", true),
            ("ends_with", "-43", false),
            ("contains", "fix", true),
            ("contains", "feat", false),
            ("regex", r"^[a-z]+/[a-z]+-\d+$", true),
            ("regex", r"^(feature|bug)/", false),
            // It is looked for anywhere.
            ("regex", r"\d", true),
        ] {
            assert_eq!(takes(operator, pattern, false), Some(expected), "{pattern}");
            assert_eq!(takes(operator, pattern, true), Some(!expected), "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_decided() {
        for (operator, pattern) in [
            ("regex", "(?!x)"),
            ("regex", "("),
            ("regex", r"\d{9999}{9999}"),
            ("sounds_like", "fix"),
        ] {
            assert_eq!(takes(operator, pattern, false), None, "{pattern}");
            assert_eq!(takes(operator, pattern, true), None, "{pattern}");
        }
    }

    #[test]
    fn an_expression_is_tried_on_ascii_alone() {
        let pattern = Pattern {
            operator: "regex".to_owned(),
            pattern: "^.{3}$".to_owned(),
            negate: false,
        };
        assert_eq!(pattern.takes("abc"), Some(true));
        assert_eq!(pattern.takes("äbc"), None);
    }

    #[test]
    fn a_pattern_is_shown_on_one_short_line() {
        let long = format!("a`b\n{}", "x".repeat(200));
        let shown = shown(&long);
        assert!(shown.starts_with("abx") && shown.ends_with('…'), "{shown}");
        assert_eq!(shown.chars().count(), 101);
    }
}
