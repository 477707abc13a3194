//! The `apply_patch` tool, for models that were trained on its format.

use std::fmt::Write as _;

use pullwright_tool_kit::{Output, PathError, Place, Refusal};
use rustix::fs::AtFlags;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::replace::{Original, load, replace};
use crate::write::put;
use crate::{Files, missing};

mod apply;
mod parse;

use parse::{Change, FileChange};

/// Change files by a patch. It begins with the line `*** Begin Patch`, ends with `*** End Patch`,
/// and between them has, for each file, `*** Add File: PATH` and the content with `+` before every
/// line, or `*** Delete File: PATH`, or `*** Update File: PATH`, after which may come `*** Move to:
/// PATH`. An update has one or more parts: `@@`, optionally with a line to look for first, and then
/// lines that begin with a space (stays), `-` (goes) or `+` (comes), with three lines of context
/// around the change. `*** End of File` after a part says that it is at the end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-freeform" = "input"))]
pub(crate) struct ApplyPatch {
    /// The whole patch.
    input: String,
}

/// Takes one file after the other. A file changes whole or not at all; at the first that cannot be
/// changed it stops, and says what was done before.
pub(crate) fn apply_patch(files: &Files, args: &ApplyPatch) -> Result<Output, Refusal> {
    let changes = parse::patch(&args.input).map_err(Refusal::new)?;
    let mut done = String::new();
    for change in &changes {
        match apply_one(files, change) {
            Ok(said) => {
                let _ = writeln!(done, "{said}");
            }
            Err(refusal) if done.is_empty() => {
                return Err(Refusal::new(format!("{refusal}\nNothing was changed.")));
            }
            Err(refusal) => {
                let done = done.trim_end();
                return Err(Refusal::new(format!(
                    "{refusal}\nThese changes of the patch were made before, so leave them out of the next:\n{done}"
                )));
            }
        }
    }
    Ok(Output::text(done.trim_end().to_owned()))
}

fn apply_one(files: &Files, change: &FileChange) -> Result<String, Refusal> {
    let path = change.path.as_str();
    match &change.change {
        Change::Add { content } => {
            put(files, path, content)?;
            Ok(format!("wrote `{path}`"))
        }
        Change::Delete => delete(files, path),
        Change::Update { move_to, parts } => update(files, path, move_to.as_deref(), parts),
    }
}

fn delete(files: &Files, path: &str) -> Result<String, Refusal> {
    let place = locate(files, path)?;
    let _lock = files.locks.lock(place.path());
    place
        .open_file()
        .map_err(|error| missing::refusal(files, error))?;
    remove(path, &place)?;
    Ok(format!("deleted `{path}`"))
}

fn update(
    files: &Files,
    path: &str,
    move_to: Option<&str>,
    parts: &[parse::Part],
) -> Result<String, Refusal> {
    let place = locate(files, path)?;
    let lock = files.locks.lock(place.path());
    let original = load(path, &place).map_err(|error| missing::refusal(files, error))??;
    let applied = apply::apply(path, &original.bytes, parts).map_err(Refusal::new)?;
    let Some(target) = move_to.filter(|target| *target != path) else {
        replace(path, &place, Some(&original), &applied.bytes)?;
        return Ok(format!("updated `{path}`{}", applied.note()));
    };
    drop(lock);
    move_file(files, (path, &place, &original), target, &applied.bytes)?;
    Ok(format!(
        "updated `{path}` and moved it to `{target}`{}",
        applied.note()
    ))
}

/// The new file is there before the old one goes.
fn move_file(
    files: &Files,
    (path, place, original): (&str, &Place, &Original),
    target: &str,
    bytes: &[u8],
) -> Result<(), Refusal> {
    let content = std::str::from_utf8(bytes).map_err(|_| {
        Refusal::new(format!(
            "`{path}` is not UTF-8 text; move it with a shell command"
        ))
    })?;
    put(files, target, content)?;
    let mode = original.mode();
    if let Ok((file, _)) = locate(files, target)?.open_file() {
        // A mode that cannot be kept is no reason to lose the move.
        let _ = rustix::fs::fchmod(&file, mode);
    }
    let _lock = files.locks.lock(place.path());
    remove(path, place)
}

fn locate(files: &Files, path: &str) -> Result<Place, Refusal> {
    let place = files.workspace.locate(path);
    let place = place.and_then(Place::writable);
    place.map_err(|error: PathError| missing::refusal(files, error))
}

fn remove(path: &str, place: &Place) -> Result<(), Refusal> {
    rustix::fs::unlinkat(place.dir(), place.name(), AtFlags::empty())
        .map_err(|error| Refusal::new(format!("cannot delete `{path}`: {error}")))
}
