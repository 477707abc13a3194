//! The tool `status`.

use std::fmt::Write;
use std::path::Path;

use git2::{Repository, StatusEntry, StatusOptions};
use pullwright_tool_kit::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;

use super::bounded;
use super::repository::{failed, open};
use crate::files::shown;

/// Shows the branch, and which files are staged, changed or untracked. Ignored files are not shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {}

pub(crate) fn run(root: &Path, _args: &Status) -> Result<String, Refusal> {
    let repository = open(root)?;
    let mut options = StatusOptions::new();
    options.include_untracked(true);
    let statuses = repository
        .statuses(Some(&mut options))
        .map_err(failed("read the status"))?;
    let mut text = head(&repository);
    for (title, kinds) in SECTIONS {
        let lines: Vec<_> = statuses
            .iter()
            .filter_map(|entry| line(&entry, kinds))
            .collect();
        if !lines.is_empty() {
            let _ = write!(text, "\n{title}\n{}", lines.concat());
        }
    }
    if statuses.is_empty() {
        text.push_str("\nnothing to commit, the working tree is clean\n");
    }
    Ok(bounded(&text, "`diff` with `paths` shows a part."))
}

type Kinds = &'static [(git2::Status, &'static str)];

const SECTIONS: [(&str, Kinds); 4] = [
    ("conflicts:", &[(git2::Status::CONFLICTED, "conflict")]),
    (
        "staged:",
        &[
            (git2::Status::INDEX_NEW, "new"),
            (git2::Status::INDEX_MODIFIED, "modified"),
            (git2::Status::INDEX_DELETED, "deleted"),
            (git2::Status::INDEX_RENAMED, "renamed"),
            (git2::Status::INDEX_TYPECHANGE, "type"),
        ],
    ),
    (
        "not staged:",
        &[
            (git2::Status::WT_MODIFIED, "modified"),
            (git2::Status::WT_DELETED, "deleted"),
            (git2::Status::WT_RENAMED, "renamed"),
            (git2::Status::WT_TYPECHANGE, "type"),
            (git2::Status::WT_UNREADABLE, "unreadable"),
        ],
    ),
    ("untracked:", &[(git2::Status::WT_NEW, "new")]),
];

fn line(entry: &StatusEntry<'_>, kinds: Kinds) -> Option<String> {
    let (_, word) = kinds
        .iter()
        .find(|(kind, _)| entry.status().intersects(*kind))?;
    Some(format!("  {word:<10} {}\n", shown(entry.path_bytes())))
}

/// Where `HEAD` is.
fn head(repository: &Repository) -> String {
    let Ok(head) = repository.head() else {
        return "no commit yet, or HEAD is damaged\n".to_owned();
    };
    let place = match repository.head_detached() {
        Ok(true) => "detached HEAD".to_owned(),
        _ => format!("branch {}", String::from_utf8_lossy(head.shorthand_bytes())),
    };
    let Ok(commit) = head.peel_to_commit() else {
        return format!("{place}, whose commit cannot be read\n");
    };
    let id = commit.id().to_string();
    let summary = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default());
    format!("{place} at {} {summary}\n", &id[..10])
}
