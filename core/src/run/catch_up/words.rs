//! What is told of a base branch that has moved.

use crate::run::prepare::short;
use crate::source::Base;

/// How many of the paths that are in the way are named.
const MAX_NAMED: usize = 10;

/// A branch and where it was and is.
pub(super) struct Place {
    branch: String,
    from: String,
    to: String,
    is_rewritten: bool,
}

impl Place {
    pub(super) fn of(base: &Base, newest: &Base) -> Self {
        Self {
            branch: base.branch.clone(),
            from: short(&base.commit).to_owned(),
            to: short(&newest.commit).to_owned(),
            is_rewritten: false,
        }
    }

    pub(super) fn rewritten(self, is_rewritten: bool) -> Self {
        Self {
            is_rewritten,
            ..self
        }
    }

    pub(super) fn begins(&self) -> String {
        let Self { branch, to, .. } = self;
        format!("branch `{branch}` has moved to {to}; the change is brought onto it")
    }

    fn happened(&self) -> String {
        let Self { branch, from, .. } = self;
        match self.is_rewritten {
            true => format!(
                "Branch `{branch}` was rewritten during the run, and commit {from}, on which the change was \
                 made, is not in it any more"
            ),
            false => format!("Branch `{branch}` moved during the run"),
        }
    }

    pub(super) fn brought(&self, is_checked: bool) -> String {
        let checked = match is_checked {
            true => ", and the checks ran there again",
            false => "",
        };
        format!(
            "{}: the change was brought onto it at {}{checked}.",
            self.happened(),
            self.to
        )
    }

    pub(super) fn stays(&self, why: &str) -> String {
        let place = match self.is_rewritten {
            true => format!("commit {}, which would come back with it", self.from),
            false => "the commit on which it was checked".to_owned(),
        };
        format!(
            "{}; at {} {why}. It stays on {place}.",
            self.happened(),
            self.to
        )
    }
}

/// Paths or commands, as code, whatever they hold.
pub(super) fn named(names: &[String]) -> String {
    let plain = |name: &String| -> String {
        let chars = name.chars();
        chars
            .map(|c| {
                if c.is_control() || c == '`' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect()
    };
    let shown: Vec<String> = names
        .iter()
        .take(MAX_NAMED)
        .map(|name| format!("`{}`", plain(name)))
        .collect();
    let more = match names.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_harmless() {
        let names: Vec<String> = (0..12).map(|number| format!("a{number}`\n")).collect();
        let text = named(&names);
        assert!(text.starts_with("`a0\u{fffd}\u{fffd}`, "), "{text}");
        assert!(text.ends_with(" and 2 more"), "{text}");
    }
}
