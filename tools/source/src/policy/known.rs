//! The server's own secrets in a change: in its new lines, and in the names of its files.

use std::collections::HashSet;

use git2::Repository;
use pullwright_core::source::SourceError;

use super::content::{lines, small_blob};
use crate::diff::{Change, Entry, GITLINK};
use crate::known_secret::{Finder, Found};

/// Why the file must not be pushed. It never shows what was found.
pub(super) fn refusal(
    git: &Repository,
    finder: &Finder,
    change: &Change,
    max_bytes: usize,
) -> Result<Option<String>, SourceError> {
    let Some(new) = change.new.filter(|entry| entry.mode != GITLINK) else {
        return Ok(None);
    };
    if let Some(found) = finder.find(&change.path).next() {
        return Ok(Some(told("its name", &found)));
    }
    let text = |entry: Entry| match entry.mode {
        GITLINK => Ok(None),
        _ => small_blob(git, entry, max_bytes),
    };
    let Some(content) = text(new)? else {
        return Ok(None);
    };
    let mut hits = finder.find(&content).peekable();
    if hits.peek().is_none() {
        return Ok(None);
    }
    let old = change.old.map(text).transpose()?.flatten();
    let known: HashSet<&[u8]> = old.iter().flat_map(|old| lines(old)).collect();
    let mut new_hits = hits.filter(|hit| !known.contains(line_around(&content, hit)));
    Ok(new_hits.next().map(|hit| {
        let before = &content[..hit.start];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        told(&format!("line {line}"), &hit)
    }))
}

fn line_around<'c>(content: &'c [u8], hit: &Found<'_>) -> &'c [u8] {
    let (before, after) = content.split_at(hit.start);
    let start = before.iter().rposition(|byte| *byte == b'\n');
    let end = after.iter().position(|byte| *byte == b'\n');
    &content[start.map_or(0, |at| at + 1)..end.map_or(content.len(), |at| hit.start + at)]
}

fn told(place: &str, found: &Found<'_>) -> String {
    format!(
        "holds the value of {} in {place}, as it is or encoded; take it out, and read it from the environment",
        found.name
    )
}
