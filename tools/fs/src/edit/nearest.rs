//! The lines most like old_str, when nothing explains the difference.

use super::hint::Reason;

/// How alike a line must be to be worth showing; 1.0 is equal.
const ALIKE: f64 = 0.6;

/// Prevents a comparison with a huge file from taking seconds.
const MAX_LINES_COMPARED: usize = 20_000;

/// Lines are compared up to this length; the cost grows with its square.
const MAX_CHARS_COMPARED: usize = 120;

/// How many lines like the longest one of old_str have their surroundings compared too.
const MAX_CANDIDATES: usize = 16;

/// The lines most like those of `old`: found by its longest line, chosen by all of them.
pub(super) fn find(lines: &[&str], old: &str) -> Option<Reason> {
    let old: Vec<&str> = old.trim_matches('\n').lines().collect();
    let (index, anchor) = old
        .iter()
        .enumerate()
        .max_by_key(|(_, line)| line.trim().len())?;
    let anchor = comparable(anchor);
    let mut candidates: Vec<(f64, usize)> = lines
        .iter()
        .take(MAX_LINES_COMPARED)
        .enumerate()
        .map(|(at, line)| (likeness(&anchor, line), at.saturating_sub(index)))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    candidates.truncate(MAX_CANDIDATES);
    let (_, at) = candidates
        .into_iter()
        .map(|(_, at)| (likeness_around(&old, &lines[at..]), at))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
    Some(Reason {
        says: "the nearest text differs; take it from the file as it is".to_owned(),
        at: vec![at],
        length: old.len(),
    })
}

fn likeness_around(old: &[&str], lines: &[&str]) -> f64 {
    let pairs = old.iter().zip(lines).take(MAX_CANDIDATES);
    pairs
        .map(|(old, line)| likeness(&comparable(old), line))
        .sum()
}

fn likeness(anchor: &str, line: &str) -> f64 {
    let line = comparable(line);
    let (short, long) = (anchor.len().min(line.len()), anchor.len().max(line.len()));
    // Two lengths so different cannot reach the threshold.
    if short * 10 < long * 5 {
        return 0.0;
    }
    strsim::normalized_levenshtein(anchor, &line)
}

fn comparable(line: &str) -> String {
    line.trim().chars().take(MAX_CHARS_COMPARED).collect()
}
