//! The `write` tool.

use pullwright_tool_kit::{Output, PathError, Place, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Files;
use crate::replace::{Original, load, replace};
use crate::text::{self, BOM, LineEnds};

/// Write a whole file: make a new one, with the folders on the way, or replace what is there. The
/// content is written exactly as given. To change a part of a file, use edit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Write {
    /// The file, relative to the workspace or absolute inside it.
    path: String,
    /// The whole content of the file, usually ending in a newline.
    content: String,
}

pub(crate) fn write(files: &Files, args: &Write) -> Result<Output, Refusal> {
    refuse_line_numbers(&args.content, "content")?;
    put(files, &args.path, &args.content)
}

/// Makes a file of `content`, or replaces what is there.
pub(crate) fn put(files: &Files, path: &str, content: &str) -> Result<Output, Refusal> {
    let place = files.workspace.locate(path);
    match place.and_then(Place::writable) {
        Ok(place) if place.stat().is_ok() => overwrite(files, path, content, &place),
        // What is missing is made below, and what is wrong is found there again.
        Ok(_) | Err(PathError::Missing { .. }) => create(files, path, content),
        Err(error) => Err(error.into()),
    }
}

/// Makes a file that does not exist yet, and the folders it needs.
pub(crate) fn create(files: &Files, path: &str, content: &str) -> Result<Output, Refusal> {
    let (place, folders) = files.workspace.locate_for_writing(path)?;
    let _lock = files.locks.lock(place.path());
    replace(path, &place, None, content.as_bytes())?;
    folders.keep();
    let lines = text::line_count(content.as_bytes());
    Ok(Output::text(format!("created `{path}`: {lines} lines")))
}

/// Refuses text that was copied from `read` with its line numbers.
pub(crate) fn refuse_line_numbers(text: &str, argument: &str) -> Result<(), Refusal> {
    // Only the padding tells it from a table whose first column counts up.
    let is_padded = |line: &str| {
        line.split_once('\t')
            .is_some_and(|(number, _)| number.len() >= 6)
    };
    let is_pasted = text.lines().count() > 1
        && text.lines().all(is_padded)
        && text::without_line_numbers(text).is_some();
    if !is_pasted {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "every line of {argument} begins with a line number of read's output; these are not part of the file, so leave out the number and the tab"
    )))
}

fn overwrite(files: &Files, path: &str, content: &str, place: &Place) -> Result<Output, Refusal> {
    let _lock = files.locks.lock(place.path());
    let original = load(path, place)??;
    let content = content.as_bytes();
    if original.bytes == content {
        let said = format!("`{path}` has exactly this content already");
        return Ok(Output::text(said));
    }
    refuse_not_text(path, &original)?;
    replace(path, place, Some(&original), content)?;
    let (before, after) = (text::line_count(&original.bytes), text::line_count(content));
    let mut said = format!("replaced `{path}`: {before} lines are now {after}");
    said.extend(lost_by_writing(&original.bytes, content));
    Ok(Output::text(said))
}

/// Text that a model has seen with replacement characters, or not at all, is not written back.
fn refuse_not_text(path: &str, original: &Original) -> Result<(), Refusal> {
    if std::str::from_utf8(&original.bytes).is_ok() && !text::is_binary(&original.bytes) {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{path}` is not UTF-8 text, so it is not overwritten; if it is meant to go, delete it with a shell command first"
    )))
}

/// What the old file had and the new one has not, as the content is written exactly as given.
fn lost_by_writing(old: &[u8], new: &[u8]) -> Vec<String> {
    let (was, is) = (LineEnds::of(old), LineEnds::of(new));
    let mut lost = Vec::new();
    if was != is && was != LineEnds::None && is != LineEnds::None {
        lost.push(format!(
            "; it had {} line ends and now has {}",
            was.name(),
            is.name()
        ));
    }
    if old.starts_with(BOM) && !new.starts_with(BOM) {
        lost.push("; its byte order mark is gone".to_owned());
    }
    lost
}
