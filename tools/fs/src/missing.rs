//! A path that does not exist, and what was probably meant.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pullwright_tool_kit::{PathError, Refusal};
use rustix::fs::Dir;

use crate::Files;
use crate::tree::Tree;

/// How alike two names must be to suggest one for the other; 1.0 is equal.
const ALIKE: f64 = 0.85;

/// Prevents a guess from searching a huge tree or folder.
const MAX_ENTRIES_FOR_A_GUESS: usize = 20_000;

/// The refusal for `error`; for a missing path, with the nearest one that exists.
pub(crate) fn refusal(files: &Files, error: PathError) -> Refusal {
    let PathError::Missing { part, .. } = &error else {
        return error.into();
    };
    let meant = similar_name(files, part).or_else(|| same_name_elsewhere(files, part));
    match meant {
        Some(meant) => Refusal::new(format!("{error}; did you mean `{}`?", meant.display())),
        None => Refusal::new(format!("{error}; look with list or glob")),
    }
}

/// The most similar name in the folder where `part` is missing.
fn similar_name(files: &Files, part: &Path) -> Option<PathBuf> {
    let wanted = part.file_name()?.to_str()?.to_lowercase();
    let folder = part
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let open = files
        .workspace
        .locate(folder.to_str()?)
        .ok()?
        .open_folder()
        .ok()?;
    let names = Dir::new(open).ok()?.take(MAX_ENTRIES_FOR_A_GUESS).flatten();
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    let (_, name) = names
        .filter(|name| !matches!(name.as_str(), "." | ".."))
        .map(|name| (likeness(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(&a.1)))?;
    Some(part.with_file_name(name))
}

/// One slip of the finger is alike enough even in a short name.
fn likeness(wanted: &str, name: &str) -> f64 {
    let one_slip = strsim::damerau_levenshtein(wanted, name) == 1;
    strsim::jaro_winkler(wanted, name).max(if one_slip { ALIKE } else { 0.0 })
}

/// A file of the same name in another folder.
fn same_name_elsewhere(files: &Files, part: &Path) -> Option<PathBuf> {
    let wanted = part.file_name()?.as_bytes();
    let tree = Tree::new(files.workspace.root(), Path::new(""), false);
    let mut paths = tree.files().take(MAX_ENTRIES_FOR_A_GUESS);
    paths.find(|path| {
        path.file_name()
            .is_some_and(|name| name.as_bytes() == wanted)
    })
}
