//! The `list` tool.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use pullwright_tool_kit::{Output, Refusal};
use rustix::fs::{AtFlags, Dir, FileType};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::page::Page;
use crate::{Files, missing};

/// Prevents a folder of millions of files from taking the tool server's memory.
const MAX_ENTRIES: usize = 200_000;

/// How many entries one answer shows unless asked otherwise.
const DEFAULT_LIMIT: u64 = 500;

/// List a folder: each entry on a line, sorted by name; folders end in `/`, files have their size in
/// bytes, symlinks their target. Hidden and ignored entries are included. For files in subfolders,
/// use glob.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// The folder, relative to the workspace or absolute inside it. Default: the workspace.
    path: Option<String>,
    /// How many entries to skip, to see the next page. Default 0.
    offset: Option<u64>,
    /// How many entries to show. Default 500.
    limit: Option<NonZeroU64>,
}

pub(crate) fn list(files: &Files, args: &List) -> Result<Output, Refusal> {
    let path = args.path.as_deref().unwrap_or(".");
    let opened = files
        .workspace
        .locate(path)
        .and_then(|place| place.open_folder());
    let folder = opened.map_err(|error| missing::refusal(files, error))?;
    let failed = |error| Refusal::new(format!("cannot list `{path}`: {error}"));
    let lines = entries(&folder).map_err(failed)?;
    if lines.is_empty() {
        return Ok(Output::text("[the folder is empty]"));
    }
    let mut page = Page::new(
        args.offset.unwrap_or(0),
        args.limit.map_or(DEFAULT_LIMIT, NonZeroU64::get),
    );
    for line in &lines {
        if page.wants_next() {
            page.add(line);
        }
    }
    let mut text = page.finish("entries");
    if lines.len() == MAX_ENTRIES {
        text.push_str("[the folder has more entries than list takes; use a shell command]\n");
    }
    Ok(Output::text(text))
}

fn entries(folder: &OwnedFd) -> Result<Vec<String>, rustix::io::Errno> {
    let mut lines = Vec::new();
    for entry in Dir::read_from(folder)?.take(MAX_ENTRIES + 2) {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() != b"." && name.to_bytes() != b".." {
            lines.push(describe(folder, name));
        }
    }
    lines.sort_unstable();
    lines.truncate(MAX_ENTRIES);
    Ok(lines)
}

fn describe(folder: &OwnedFd, name: &std::ffi::CStr) -> String {
    let text = name.to_string_lossy();
    // An entry that has vanished meanwhile is still named.
    let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return text.into_owned();
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => format!("{text}/"),
        FileType::RegularFile => format!("{text}  {}", stat.st_size),
        FileType::Symlink => match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(target) => format!("{text} -> {}", target.to_string_lossy()),
            Err(_) => format!("{text} -> ?"),
        },
        _ => format!("{text}  (not a regular file)"),
    }
}
