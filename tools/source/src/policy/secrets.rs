//! Lines of a change that look like they hold a secret.
//!
//! Only lines that the base's file does not have are read. A token of a known kind is told by its form, anything
//! else by being assigned to a name that says what it is, and by looking random.

mod randomness;
mod rules;
mod scan;

use std::collections::HashSet;

use git2::Repository;
use pullwright_core::source::SourceError;

use crate::diff::{Change, EXECUTABLE, FILE};
use crate::policy::content::{is_binary, lines, small_blob};

/// How many lines of a file are told.
const MAX_TOLD: usize = 3;

/// Why the file's content must not be pushed.
pub(super) fn refusal(
    git: &Repository,
    change: &Change,
    max_bytes: usize,
) -> Result<Option<String>, SourceError> {
    let text = |entry| small_blob(git, entry, max_bytes);
    let Some(new) = change
        .new
        .filter(|new| matches!(new.mode, FILE | EXECUTABLE))
    else {
        return Ok(None);
    };
    let Some(new) = text(new)?.filter(|new| !is_binary(new)) else {
        return Ok(None);
    };
    let old = change.old.map(text).transpose()?.flatten();
    let known: HashSet<&[u8]> = old.iter().flat_map(|old| lines(old)).collect();
    let found = scan::findings(&new, |line| !known.contains(line));
    Ok((!found.is_empty()).then(|| told(&found)))
}

fn told(found: &[scan::Finding]) -> String {
    let named = found.iter().take(MAX_TOLD);
    let named: Vec<String> = named
        .map(|finding| format!("line {} ({})", finding.line, finding.what))
        .collect();
    let more = match found.len().saturating_sub(MAX_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "seems to hold a secret: {}{more}; read it from the environment, or write a placeholder",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_short_and_shows_no_secret() {
        let finding = |line| scan::Finding {
            line,
            what: "a key",
        };
        let found: Vec<_> = (1..=5).map(finding).collect();
        assert_eq!(
            told(&found),
            "seems to hold a secret: line 1 (a key), line 2 (a key), line 3 (a key) and 2 more; read it from the \
             environment, or write a placeholder"
        );
    }
}
