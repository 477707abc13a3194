//! Matches that hold only when something in the lines of both texts is overlooked.

use std::borrow::Cow;

use super::MAX_LINES_NAMED;
use super::hint::Reason;

type Overlook = fn(&str) -> Cow<'_, str>;

/// From the smallest difference to the largest.
const DIFFERENCES: &[(&str, Overlook)] = &[
    ("the spaces at the ends of lines differ", |line| {
        line.trim_end().into()
    }),
    ("the indentation differs", |line| line.trim().into()),
    ("the spaces inside lines differ", |line| {
        without_spaces(line).into()
    }),
    (
        "old_str has typographic quotes, dashes or spaces where the file has plain ones, or the reverse",
        |line| plain(&without_spaces(line)).into(),
    ),
    ("upper and lower case differ", |line| {
        plain(&without_spaces(line)).to_lowercase().into()
    }),
];

/// The smallest difference that explains why `old` is not in the file of these `lines`.
pub(super) fn find(lines: &[&str], old: &str) -> Option<Reason> {
    let old: Vec<&str> = old.trim_matches('\n').lines().collect();
    let by_lines = DIFFERENCES.iter().find_map(|(says, overlook)| {
        let (at, length) = (windows(lines, &old, *overlook)?, old.len());
        let says = format!("{says}{}", tabs_or_spaces(lines, &old, at[0]));
        Some(Reason { says, at, length })
    });
    by_lines.or_else(|| across_lines(lines, &old))
}

/// Where `old` begins, if it is there but for what `overlook` overlooks. Its first line may be the
/// end of one and its last line the beginning of one.
fn windows(lines: &[&str], old: &[&str], overlook: Overlook) -> Option<Vec<usize>> {
    let lines: Vec<Cow<'_, str>> = lines.iter().map(|line| overlook(line)).collect();
    let old: Vec<Cow<'_, str>> = old.iter().map(|line| overlook(line)).collect();
    let (first, rest) = old.split_first()?;
    if old.iter().all(|line| line.is_empty()) {
        return None;
    }
    let fits = |at: &usize| match rest.split_last() {
        None => lines[*at].contains(&**first),
        Some((last, middle)) => {
            let end = at + 1 + middle.len();
            lines[*at].ends_with(&**first)
                && lines[at + 1..end] == *middle
                && lines[end].starts_with(&**last)
        }
    };
    let starts = 0..(lines.len() + 1).saturating_sub(old.len());
    let found: Vec<usize> = starts.filter(fits).take(MAX_LINES_NAMED).collect();
    (!found.is_empty()).then_some(found)
}

/// The same text with its lines broken at other places, or with other empty lines.
fn across_lines(lines: &[&str], old: &[&str]) -> Option<Reason> {
    let wanted: String = old.iter().map(|line| without_spaces(line)).collect();
    if wanted.is_empty() {
        return None;
    }
    let mut starts = Vec::with_capacity(lines.len());
    let mut text = String::new();
    for line in lines {
        starts.push(text.len());
        text.push_str(&without_spaces(line));
    }
    let from = text.find(&wanted)?;
    let line_at = |at| starts.partition_point(|start| *start <= at) - 1;
    let (first, last) = (line_at(from), line_at(from + wanted.len() - 1));
    Some(Reason {
        says: "the line breaks differ".to_owned(),
        at: vec![first],
        length: last - first + 1,
    })
}

/// Says which of the two indents with tabs, as that cannot be seen.
fn tabs_or_spaces(lines: &[&str], old: &[&str], at: usize) -> &'static str {
    let indented = |lines: &[&str], with: char| lines.iter().any(|line| line.starts_with(with));
    let there = &lines[at..(at + old.len()).min(lines.len())];
    match (indented(there, '\t'), indented(old, '\t')) {
        (true, false) if indented(old, ' ') => " (the file has tabs, old_str spaces)",
        (false, true) if indented(there, ' ') => " (the file has spaces, old_str tabs)",
        _ => "",
    }
}

fn without_spaces(line: &str) -> String {
    line.chars().filter(|c| !c.is_whitespace()).collect()
}

fn plain(line: &str) -> String {
    let plain = |c| match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{201f}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        c => c,
    };
    let invisible = |c: &char| matches!(c, '\u{200b}'..='\u{200d}' | '\u{feff}');
    line.chars()
        .filter(|c| !invisible(c))
        .map(plain)
        .collect::<String>()
        .replace('…', "...")
}
