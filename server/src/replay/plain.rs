//! Text without what differs between two runs that are the same.

/// The least of a path that is looked for in a text: `/` is everywhere.
const MIN_CHARS: usize = 4;

/// How much of a text is shown around the place where it differs, in characters.
const SHOWN_BEFORE: usize = 40;
const SHOWN: usize = 200;

/// Replaces one run's own ids and folders by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    own: Vec<(String, &'static str)>,
}

impl Plain {
    /// Replaces `text` by `name` from now on, too.
    pub(super) fn add(&mut self, text: &str, name: &'static str) {
        if text.chars().count() >= MIN_CHARS {
            self.own.push((text.to_owned(), name));
            // The longest first: a folder may be within another.
            self.own
                .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    /// The text with the names.
    #[must_use]
    pub(super) fn text(&self, text: &str) -> String {
        let replaced = |text: String, (own, name): &(String, &str)| text.replace(own, name);
        self.own.iter().fold(text.to_owned(), replaced)
    }
}

/// What one run has and the other has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub what: String,
    /// What is recorded, around the place; nothing where nothing is.
    pub recorded: Option<String>,
    /// What it is now.
    pub now: Option<String>,
}

impl Difference {
    /// Two texts that differ.
    #[must_use]
    pub(super) fn between(what: impl Into<String>, recorded: &str, now: &str) -> Self {
        let mut pairs = recorded.chars().zip(now.chars());
        let same = pairs.position(|(one, other)| one != other);
        let same = same.unwrap_or(recorded.chars().count().min(now.chars().count()));
        Self {
            what: what.into(),
            recorded: Some(around(recorded, same)),
            now: Some(around(now, same)),
        }
    }
}

/// The part of a text around its character number `at`.
pub(super) fn around(text: &str, at: usize) -> String {
    let skipped = at.saturating_sub(SHOWN_BEFORE);
    let shown: String = text.chars().skip(skipped).take(SHOWN).collect();
    let before = if skipped > 0 { "…" } else { "" };
    let after = if text.chars().count() > skipped + SHOWN {
        "…"
    } else {
        ""
    };
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_a_run_s_own_texts_is_replaced_first() {
        let mut plain = Plain::default();
        plain.add("/data", "<folder>");
        plain.add("/data/work", "<workspace>");
        plain.add("/", "<root>");
        assert_eq!(
            plain.text("/data/work/a /data/b /c"),
            "<workspace>/a <folder>/b /c"
        );
    }

    #[test]
    fn a_difference_shows_the_place() {
        let (one, other) = ("é".repeat(500) + "one", "é".repeat(500) + "other");
        let differs = Difference::between("x", &one, &other);
        let tail = "é".repeat(SHOWN_BEFORE - 1);
        // Both begin with an `o`.
        assert_eq!(differs.recorded, Some(format!("…{tail}one")));
        assert_eq!(differs.now, Some(format!("…{tail}other")));
        let longer = Difference::between("x", "same", "same and more");
        assert_eq!(longer.recorded.as_deref(), Some("same"));
        assert_eq!(longer.now.as_deref(), Some("same and more"));
    }
}
