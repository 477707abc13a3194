//! The `edit` tool.

use std::borrow::Cow;

use pullwright_tool_kit::{Output, PathError, Place, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::replace::{MAX_FILE_BYTES, Original, load, replace, too_large};
use crate::text::{self, LineEnds};
use crate::write::{create, refuse_line_numbers};
use crate::{Files, missing};

mod hint;
mod loose;
mod nearest;
mod slip;

/// Prevents a refusal from listing every line of a file.
const MAX_LINES_NAMED: usize = 10;

/// Replace text in a file. old_str must match exactly, spaces and indentation included, and only
/// once unless replace_all is set: include enough lines around to make it unique. An empty old_str
/// makes a new file of new_str. In a file whose line ends are all CRLF, plain newlines in old_str
/// and new_str stand for CRLF.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The file, relative to the workspace or absolute inside it.
    path: String,
    /// The text to replace, exactly as it is in the file, without read's line numbers. Empty for a
    /// new file.
    old_str: String,
    /// The text to put in its place.
    new_str: String,
    /// Replace every match instead of exactly one. Default false.
    #[serde(default)]
    replace_all: bool,
}

pub(crate) fn edit(files: &Files, args: &Edit) -> Result<Output, Refusal> {
    if args.old_str == args.new_str {
        return Err(Refusal::new(
            "old_str and new_str are the same, so there is nothing to change",
        ));
    }
    refuse_line_numbers(&args.new_str, "new_str")?;
    let place = match files.workspace.locate(&args.path) {
        Err(PathError::Missing { .. }) if args.old_str.is_empty() => {
            return create(files, &args.path, &args.new_str);
        }
        place => place
            .map_err(|error| missing::refusal(files, error))?
            .writable()?,
    };
    let lock = files.locks.lock(place.path());
    match load(&args.path, &place) {
        Err(PathError::Missing { .. }) if args.old_str.is_empty() => {
            // Taken again inside, so that it also guards a file that `write` makes.
            drop(lock);
            create(files, &args.path, &args.new_str)
        }
        Err(error) => Err(missing::refusal(files, error)),
        Ok(original) => change(args, &place, &original?),
    }
}

fn change(args: &Edit, place: &Place, original: &Original) -> Result<Output, Refusal> {
    let file = original.bytes.as_slice();
    if args.old_str.is_empty() && !file.is_empty() {
        return Err(Refusal::new(format!(
            "`{}` exists and is not empty, so an empty old_str cannot make it; give the text to replace, or use write to replace the whole file",
            args.path
        )));
    }
    refuse_not_text(args, file)?;
    let (old, new) = spelled_for(file, &args.old_str, &args.new_str);
    let found = positions(args, file, old.as_bytes())?;
    let changed = splice(&args.path, file, &found, old.len(), new.as_bytes())?;
    replace(&args.path, place, Some(original), &changed)?;
    Ok(Output::text(done(args, file, &found)))
}

/// Any text whose bytes match can be edited, but not in a way that mixes two encodings.
fn refuse_not_text(args: &Edit, file: &[u8]) -> Result<(), Refusal> {
    if memchr::memchr(0, file).is_some() {
        return Err(Refusal::new(format!(
            "`{}` is a binary file (or UTF-16), which edit does not change; use a shell command",
            args.path
        )));
    }
    if !args.new_str.is_ascii() && std::str::from_utf8(file).is_err() {
        return Err(Refusal::new(format!(
            "`{}` is not UTF-8, so only ASCII can be put into it without mixing encodings; use a shell command",
            args.path
        )));
    }
    Ok(())
}

/// In a file whose line ends are all CRLF, `\n` stands for CRLF, unless one of the texts spells
/// `\r` itself: then both are taken as they are.
fn spelled_for<'a>(file: &[u8], old: &'a str, new: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    let spells_cr = old.contains('\r') || new.contains('\r');
    if spells_cr || LineEnds::of(file) != LineEnds::CrLf {
        return (old.into(), new.into());
    }
    (
        old.replace('\n', "\r\n").into(),
        new.replace('\n', "\r\n").into(),
    )
}

/// Where to replace: every match for replace_all, else exactly one.
fn positions(args: &Edit, file: &[u8], old: &[u8]) -> Result<Vec<usize>, Refusal> {
    if old.is_empty() {
        return Ok(vec![0]);
    }
    let found: Vec<usize> = match args.replace_all {
        true => memchr::memmem::find_iter(file, old).collect(),
        false => overlapping(file, old).take(MAX_LINES_NAMED + 1).collect(),
    };
    match found.len() {
        0 => Err(Refusal::new(hint::for_missing(args, file))),
        1 => Ok(found),
        _ if args.replace_all => Ok(found),
        _ => Err(not_unique(&args.path, file, &found)),
    }
}

/// Matches that overlap count too: which of them was meant is just as unclear.
fn overlapping<'a>(file: &'a [u8], old: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let finder = memchr::memmem::Finder::new(old);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(&file[from..])?;
        from = at + 1;
        Some(at)
    })
}

fn not_unique(path: &str, file: &[u8], found: &[usize]) -> Refusal {
    let lines = named_lines(file, found);
    let count = match found.len() > MAX_LINES_NAMED {
        true => format!("more than {MAX_LINES_NAMED}"),
        false => found.len().to_string(),
    };
    Refusal::new(format!(
        "old_str is in `{path}` {count} times, at {lines}; add lines around it to make it unique, or pass replace_all: true to change every one"
    ))
}

fn named_lines(file: &[u8], found: &[usize]) -> String {
    let shown = found.iter().take(MAX_LINES_NAMED);
    let lines: Vec<String> = shown
        .map(|at| text::line_of(file, *at).to_string())
        .collect();
    let more = if found.len() > MAX_LINES_NAMED {
        ", ..."
    } else {
        ""
    };
    let plural = if lines.len() > 1 { "lines" } else { "line" };
    format!("{plural} {}{more}", lines.join(", "))
}

fn splice(
    path: &str,
    file: &[u8],
    found: &[usize],
    old_length: usize,
    new: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let length = file.len() - found.len() * old_length;
    let length = found
        .len()
        .checked_mul(new.len())
        .and_then(|added| length.checked_add(added));
    let Some(length) = length.filter(|length| *length as u64 <= MAX_FILE_BYTES) else {
        return Err(too_large(path));
    };
    let mut changed = Vec::with_capacity(length);
    let mut from = 0;
    for at in found {
        changed.extend_from_slice(&file[from..*at]);
        changed.extend_from_slice(new);
        from = at + old_length;
    }
    changed.extend_from_slice(&file[from..]);
    Ok(changed)
}

fn done(args: &Edit, file: &[u8], found: &[usize]) -> String {
    let lines = named_lines(file, found);
    match found.len() {
        1 => format!("edited `{}` at {lines}", args.path),
        count => format!("edited `{}`: {count} replacements, at {lines}", args.path),
    }
}
