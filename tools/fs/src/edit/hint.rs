//! Why old_str does not match, and what would. Hints are only ever said, never applied.

use super::{Edit, MAX_LINES_NAMED, loose, nearest, slip};
use crate::text::{LineEnds, cut};

/// Prevents a refusal from quoting a whole file back.
const MAX_QUOTED_LINES: usize = 20;

/// Prevents a quoted line, such as minified code, from filling the answer.
const MAX_QUOTED_LINE_BYTES: usize = 300;

/// A reason why old_str does not match, and the lines that it probably meant.
pub(super) struct Reason {
    /// What is different, and how to mend it.
    pub(super) says: String,
    /// The line each candidate begins at, counted from 0.
    pub(super) at: Vec<usize>,
    /// How many lines a candidate has.
    pub(super) length: usize,
}

/// The whole refusal for an old_str that is not in the file.
pub(super) fn for_missing(args: &Edit, file: &[u8]) -> String {
    let head = format!("old_str is not in `{}`", args.path);
    if file.is_empty() {
        return format!("{head}: the file is empty");
    }
    // Line ends are the first suspect, and out of the way for all others.
    let text = String::from_utf8_lossy(file).replace("\r\n", "\n");
    let old = args.old_str.replace("\r\n", "\n");
    let lines: Vec<&str> = text.lines().collect();
    let reason = line_ends(file, &text, &old)
        .or_else(|| slip::find(&text, &old))
        .or_else(|| loose::find(&lines, &old))
        .or_else(|| already_done(&text, args))
        .or_else(|| nearest::find(&lines, &old));
    match reason {
        Some(reason) => format!("{head}: {}", explain(&reason, &lines)),
        None => format!("{head}, nor anything like it; read the file again"),
    }
}

/// The lines, counted from 0, at which `wanted` begins.
pub(super) fn lines_with(text: &str, wanted: &str) -> Vec<usize> {
    let found = text.match_indices(wanted).take(MAX_LINES_NAMED);
    let line = |(at, _)| text[..at].matches('\n').count();
    found.map(line).collect()
}

/// A reason by which `mended` would have matched.
pub(super) fn would_match(says: &str, text: &str, mended: &str) -> Option<Reason> {
    if mended.trim().is_empty() {
        return None;
    }
    let at = lines_with(text, mended);
    (!at.is_empty()).then(|| Reason {
        says: says.to_owned(),
        at,
        length: mended.lines().count(),
    })
}

fn line_ends(file: &[u8], text: &str, old: &str) -> Option<Reason> {
    let says = match LineEnds::of(file) {
        LineEnds::CrLf => {
            "the line ends differ: the file has CRLF; use plain newlines in both old_str and new_str, or CRLF in both"
        }
        LineEnds::Mixed => {
            "the line ends differ: the file mixes LF and CRLF; write CRLF where the file has it, or edit one line at a time"
        }
        LineEnds::Lf | LineEnds::None => {
            "the line ends differ: the file has LF; use plain newlines in old_str and new_str"
        }
    };
    would_match(says, text, old)
}

fn already_done(text: &str, args: &Edit) -> Option<Reason> {
    let new = args.new_str.replace("\r\n", "\n");
    // A short text is found anywhere.
    if new.trim().len() < 8 {
        return None;
    }
    would_match(
        "new_str is there already, so the edit may have been made before",
        text,
        &new,
    )
}

fn explain(reason: &Reason, lines: &[&str]) -> String {
    let Some(first) = reason.at.first().copied() else {
        return reason.says.clone();
    };
    let end = (first + reason.length.max(1)).min(lines.len());
    let shown = end.min(first + MAX_QUOTED_LINES);
    let quoted: Vec<_> = lines[first..shown]
        .iter()
        .map(|line| cut(line.as_bytes(), MAX_QUOTED_LINE_BYTES))
        .collect();
    let more = match end - shown {
        0 => String::new(),
        more => format!("\n[{more} more lines; see them with read]"),
    };
    let others: Vec<String> = reason.at[1..]
        .iter()
        .map(|at| (at + 1).to_string())
        .collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!(" (also at {})", others.join(", ")),
    };
    let place = match end - first {
        1 => format!("line {}", first + 1),
        _ => format!("lines {}-{end}", first + 1),
    };
    format!(
        "{}. In the file, {place}{others}:\n{}{more}",
        reason.says,
        quoted.join("\n")
    )
}
