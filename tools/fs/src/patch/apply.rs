//! The parts of an update put into a file.

use std::borrow::Cow;

use super::parse::Part;
use crate::text::{BOM, LineEnds};

/// A file as it is to be.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) bytes: Vec<u8>,
    /// The lines, from one, where it changed.
    lines: Vec<usize>,
    /// How much had to be overlooked.
    slack: Slack,
}

/// What two lines may differ in and still count as the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Slack {
    #[default]
    None,
    TrailingSpace,
    Space,
    Punctuation,
}

impl Slack {
    const ALL: [Self; 4] = [
        Self::None,
        Self::TrailingSpace,
        Self::Space,
        Self::Punctuation,
    ];

    fn same(self, a: &str, b: &str) -> bool {
        match self {
            Self::None => a == b,
            Self::TrailingSpace => a.trim_end() == b.trim_end(),
            Self::Space => a.trim() == b.trim(),
            Self::Punctuation => plain(a.trim()) == plain(b.trim()),
        }
    }
}

impl Applied {
    /// Where it changed, and that the match was not exact: a guess is never made silently.
    pub(super) fn note(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(usize::to_string).collect();
        let at = match lines.as_slice() {
            [] => String::new(),
            [line] => format!(" at line {line}"),
            _ => format!(" at lines {}", lines.join(", ")),
        };
        let overlooked = match self.slack {
            Slack::None => "",
            Slack::TrailingSpace => "; white space at the ends of lines was not as in the patch",
            Slack::Space => "; white space around lines was not as in the patch",
            Slack::Punctuation => "; punctuation or white space was not as in the patch",
        };
        format!("{at}{overlooked}")
    }
}

/// Applies the parts in order, each after the one before. Line ends and a byte order mark stay as
/// they are; a missing last newline is added, as the format cannot speak of it.
pub(super) fn apply(path: &str, file: &[u8], parts: &[Part]) -> Result<Applied, String> {
    if memchr::memchr(0, file).is_some() {
        return Err(format!(
            "`{path}` is a binary file (or UTF-16), which a patch does not change"
        ));
    }
    let (mark, body) = match file.strip_prefix(BOM) {
        Some(body) => (BOM, body),
        None => (&[][..], file),
    };
    let body = std::str::from_utf8(body)
        .map_err(|_| format!("`{path}` is not UTF-8, so a patch cannot be compared with it"))?;
    let end = if LineEnds::of(file) == LineEnds::CrLf {
        "\r\n"
    } else {
        "\n"
    };
    let mut applying = Applying {
        path,
        lines: split(body, end),
        at: 0,
        slack: Slack::None,
    };
    let mut spliced = Vec::new();
    for part in parts {
        spliced.push(applying.find(part)?);
    }
    let (lines, changed) = applying.splice(spliced);
    let mut bytes = mark.to_vec();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(end.as_bytes());
    }
    Ok(Applied {
        bytes,
        lines: changed,
        slack: applying.slack,
    })
}

fn split<'a>(body: &'a str, end: &str) -> Vec<&'a str> {
    let mut lines: Vec<&str> = body.split(end).collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    lines
}

/// Where lines go and others come.
struct Splice<'p> {
    at: usize,
    old: usize,
    new: &'p [String],
}

struct Applying<'a> {
    path: &'a str,
    lines: Vec<&'a str>,
    /// Where to look from.
    at: usize,
    slack: Slack,
}

impl<'a> Applying<'a> {
    fn find<'p>(&mut self, part: &'p Part) -> Result<Splice<'p>, String> {
        for header in &part.headers {
            let found = self.seek(std::slice::from_ref(header), false);
            let at = found.ok_or_else(|| {
                self.not_found("the line after `@@`", std::slice::from_ref(header))
            })?;
            self.at = at + 1;
        }
        if part.old.is_empty() {
            // Nothing says where, so it is the end.
            return Ok(Splice {
                at: self.lines.len(),
                old: 0,
                new: &part.new,
            });
        }
        let (old, new) = self.trimmed(part);
        let found = self.seek(old, part.at_end);
        let at = found.ok_or_else(|| self.not_found("these lines", old))?;
        self.at = at + old.len();
        Ok(Splice {
            at,
            old: old.len(),
            new,
        })
    }

    /// An empty line at the end of a part may be its own, or only what separates it from the next.
    fn trimmed<'p>(&mut self, part: &'p Part) -> (&'p [String], &'p [String]) {
        let slack = self.slack;
        let is_there = self.seek(&part.old, part.at_end).is_some();
        self.slack = slack;
        let is_empty = |lines: &[String]| lines.last().is_some_and(String::is_empty);
        if is_there || !is_empty(&part.old) || part.old.len() == 1 {
            return (&part.old, &part.new);
        }
        let new = match is_empty(&part.new) {
            true => &part.new[..part.new.len() - 1],
            false => &part.new,
        };
        (&part.old[..part.old.len() - 1], new)
    }

    /// Exactly first, then with more and more slack.
    fn seek(&mut self, wanted: &[String], at_end: bool) -> Option<usize> {
        let last = self.lines.len().checked_sub(wanted.len())?;
        let first = if at_end { last.max(self.at) } else { self.at };
        for slack in Slack::ALL {
            let mut places = first..=last;
            let found = places.find(|at| {
                let lines = self.lines[*at..].iter().zip(wanted);
                lines
                    .into_iter()
                    .all(|(line, wanted)| slack.same(line, wanted))
            });
            if found.is_some() {
                self.slack = self.slack.max(slack);
                return found;
            }
        }
        None
    }

    fn not_found(&self, what: &str, lines: &[String]) -> String {
        let from = match self.at {
            0 => String::new(),
            line => format!(" after line {line}"),
        };
        format!(
            "{what} cannot be found in `{}`{from}; read it again and copy the lines exactly:\n{}",
            self.path,
            lines.join("\n")
        )
    }

    /// The lines with all changes, and where they are.
    fn splice(&self, mut spliced: Vec<Splice<'_>>) -> (Vec<Cow<'a, str>>, Vec<usize>) {
        spliced.sort_by_key(|splice| splice.at);
        let mut lines: Vec<Cow<'a, str>> = Vec::new();
        let mut changed = Vec::new();
        let mut at = 0;
        for splice in spliced {
            lines.extend(
                self.lines[at..splice.at]
                    .iter()
                    .map(|line| Cow::Borrowed(*line)),
            );
            changed.push(lines.len() + 1);
            lines.extend(splice.new.iter().cloned().map(Cow::Owned));
            at = splice.at + splice.old;
        }
        lines.extend(self.lines[at..].iter().map(|line| Cow::Borrowed(*line)));
        (lines, changed)
    }
}

/// The text with typographic signs as those on a keyboard.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{2018}'..='\u{201b}' => '\'',
            '\u{201c}'..='\u{201f}' => '"',
            '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
            other => other,
        })
        .collect()
}
