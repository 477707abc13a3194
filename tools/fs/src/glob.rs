//! The `glob` tool.

use std::num::NonZeroU64;
use std::path::Path;

use pullwright_tool_kit::{Output, Refusal};
use rustix::fs::{AtFlags, statat};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::page::Page;
use crate::stop::Stop;
use crate::tree::Tree;
use crate::{Files, missing, pattern};

/// How many paths one answer shows unless asked otherwise.
const DEFAULT_LIMIT: u64 = 500;

/// Find files by name. Answers their paths relative to the workspace, sorted. Files that .gitignore
/// excludes are left out unless asked for; `.git` always is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Glob {
    /// The pattern, relative to path: `*` is anything in one name, `**` any folders, `{a,b}` either.
    /// Without a slash it matches names in every folder: `*.rs`, `src/**/*.{ts,tsx}`, `Cargo.toml`.
    pattern: String,
    /// The folder to search, relative to the workspace or absolute inside it. Default: the workspace.
    path: Option<String>,
    /// Whether to include what .gitignore excludes. Default false.
    #[serde(default)]
    include_ignored: bool,
    /// How many paths to skip, to see the next page. Default 0.
    offset: Option<u64>,
    /// How many paths to show. Default 500.
    limit: Option<NonZeroU64>,
}

pub(crate) fn glob(files: &Files, args: &Glob, stop: &Stop) -> Result<Output, Refusal> {
    let matcher = pattern::matcher(&args.pattern)?;
    let place = files.workspace.locate(args.path.as_deref().unwrap_or("."));
    let below = place
        .and_then(|place| place.open_folder().map(|_| place.path().to_owned()))
        .map_err(|error| missing::refusal(files, error))?;
    let mut page = Page::new(
        args.offset.unwrap_or(0),
        args.limit.map_or(DEFAULT_LIMIT, NonZeroU64::get),
    );
    let tree = Tree::new(files.workspace.root(), &below, args.include_ignored);
    let mut stopped = false;
    for path in tree.files() {
        stopped = stop.is_due();
        if stopped {
            break;
        }
        let inner = path.strip_prefix(&below).unwrap_or(&path);
        if matcher.is_match(inner) && is_inside(files, &path) && page.wants_next() {
            page.add(&path.to_string_lossy());
        }
    }
    Ok(Output::text(answer(page, args, stopped)))
}

/// The walk goes by names, so a folder swapped for a symlink meanwhile could lead it out; what it
/// found there is not found again from the workspace.
fn is_inside(files: &Files, path: &Path) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let Some(text) = parent.to_str() else {
        return false;
    };
    let text = if text.is_empty() { "." } else { text };
    let found = files
        .workspace
        .locate(text)
        .ok()
        .filter(|found| found.path() == parent);
    let folder = found.and_then(|found| found.open_folder().ok());
    folder.is_some_and(|folder| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

fn answer(page: Page, args: &Glob, stopped: bool) -> String {
    let mut text = if page.seen() > 0 {
        page.finish("files")
    } else {
        match args.include_ignored {
            true => "no files match\n".to_owned(),
            false => {
                "no files match; to include what .gitignore excludes, pass include_ignored: true\n"
                    .to_owned()
            }
        }
    };
    if stopped {
        text.push_str(&Stop::note());
    }
    text
}
