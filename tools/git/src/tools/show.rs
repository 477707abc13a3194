//! The tool `show`.

use std::path::Path;

use git2::{Blob, Commit, Object, ObjectType, Repository, Tree, TreeEntry};
use pullwright_tool_kit::{HeadTail, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::log::date;
use super::repository::{open, repository_path};
use super::{MAX_OUTPUT_BYTES, bounded, diff, revision};
use crate::base::{MODE_GITLINK, MODE_LINK};
use crate::files::shown;

/// Shows a commit with its message and diff, or a file or folder as it was: `HEAD`, `v1.0`,
/// `HEAD~3:src/main.rs`, `main:src`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Show {
    /// A revision, or `revision:path` with a path relative to the repository's root.
    object: String,
    /// For a commit: only how many lines changed in each file.
    #[serde(default)]
    stat: bool,
}

pub(crate) fn run(root: &Path, args: &Show) -> Result<String, Refusal> {
    let repository = open(root)?;
    match args.object.split_once(':') {
        Some((rev, path)) => show_path(&repository, root, rev, path),
        None => show_object(
            &repository,
            &revision::resolve(&repository, &args.object)?,
            args.stat,
        ),
    }
}

fn show_object(
    repository: &Repository,
    object: &Object<'_>,
    stat: bool,
) -> Result<String, Refusal> {
    if let Some(tag) = object.as_tag() {
        let name = String::from_utf8_lossy(tag.name_bytes()).into_owned();
        let message = String::from_utf8_lossy(tag.message_bytes().unwrap_or_default()).into_owned();
        let target = tag.target().map_err(|error| unreadable(object, &error))?;
        return Ok(format!(
            "tag {name}\n{message}\n{}",
            show_object(repository, &target, stat)?
        ));
    }
    match (object.as_commit(), object.as_tree(), object.as_blob()) {
        (Some(commit), _, _) => show_commit(repository, commit, stat),
        (_, Some(tree), _) => Ok(show_tree(tree)),
        (_, _, Some(blob)) => Ok(show_blob(blob)),
        _ => Err(Refusal::new(format!(
            "{} is of an unknown kind",
            object.id()
        ))),
    }
}

fn show_commit(
    repository: &Repository,
    commit: &Commit<'_>,
    stat: bool,
) -> Result<String, Refusal> {
    let author = commit.author();
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let head = format!(
        "commit {}\nauthor {} <{}>\ndate {}\n\n{}\n",
        commit.id(),
        String::from_utf8_lossy(author.name_bytes()),
        String::from_utf8_lossy(author.email_bytes()),
        date(commit.time()),
        bounded(message.trim_end(), "The message is longer."),
    );
    let changes = diff::render(&diff::of_commit(repository, commit)?, stat)?;
    Ok(format!("{head}\n{changes}"))
}

fn show_path(
    repository: &Repository,
    root: &Path,
    rev: &str,
    path: &str,
) -> Result<String, Refusal> {
    let rev = if rev.is_empty() { "HEAD" } else { rev };
    let tree = revision::resolve(repository, rev)?
        .peel_to_tree()
        .map_err(|_| Refusal::new(format!("`{rev}` has no files")))?;
    let clean = repository_path(root, path)?;
    if clean.as_os_str().is_empty() {
        return Ok(show_tree(&tree));
    }
    let entry = tree
        .get_path(&clean)
        .map_err(|_| no_such_path(repository, &tree, rev, &clean))?;
    show_entry(repository, &entry)
}

fn show_entry(repository: &Repository, entry: &TreeEntry<'_>) -> Result<String, Refusal> {
    if is_mode(entry, MODE_GITLINK) {
        return Ok(format!(
            "submodule at commit {}, which is not part of this repository\n",
            entry.id()
        ));
    }
    let object = entry.to_object(repository).map_err(|error| {
        Refusal::new(format!(
            "{} cannot be read: {}",
            entry.id(),
            error.message()
        ))
    })?;
    match object.as_blob() {
        Some(blob) if is_mode(entry, MODE_LINK) => {
            Ok(format!("symbolic link to {}\n", shown(blob.content())))
        }
        _ => show_object(repository, &object, false),
    }
}

fn show_blob(blob: &Blob<'_>) -> String {
    if blob.is_binary() {
        return format!("binary file of {} bytes\n", blob.size());
    }
    let mut kept = HeadTail::new(MAX_OUTPUT_BYTES);
    kept.push(blob.content());
    kept.render("The file is longer; `diff` with `rev` and `paths` shows what changed in it.")
}

fn show_tree(tree: &Tree<'_>) -> String {
    let lines: String = tree.iter().map(|entry| line(&entry)).collect();
    bounded(&lines, "Show a folder in it.")
}

fn line(entry: &TreeEntry<'_>) -> String {
    let mark = match entry.kind() {
        Some(ObjectType::Tree) => "/",
        Some(ObjectType::Commit) => " (submodule)",
        _ if is_mode(entry, MODE_LINK) => " (symbolic link)",
        _ => "",
    };
    format!("{}{mark}\n", shown(entry.name_bytes()))
}

fn is_mode(entry: &TreeEntry<'_>, mode: u32) -> bool {
    u32::try_from(entry.filemode()) == Ok(mode)
}

/// Refuses with the names nearest to the first part of the path that is missing.
fn no_such_path(repository: &Repository, tree: &Tree<'_>, rev: &str, path: &Path) -> Refusal {
    let mut folder = tree.clone();
    let mut above = String::new();
    let mut missing = String::new();
    for name in path {
        missing = name.to_string_lossy().into_owned();
        let below = folder
            .get_path(Path::new(name))
            .ok()
            .and_then(|entry| entry.to_object(repository).ok())
            .and_then(|object| object.into_tree().ok());
        let Some(below) = below else { break };
        above.push_str(&format!("{missing}/"));
        folder = below;
    }
    let names = folder
        .iter()
        .map(|entry| format!("{above}{}", shown(entry.name_bytes())));
    let nearest = revision::nearest(&format!("{above}{missing}"), names.collect());
    Refusal::new(format!(
        "`{rev}` has no {}; nearest paths: {}",
        shown(path.as_os_str().as_encoded_bytes()),
        nearest.join(", ")
    ))
}

fn unreadable(object: &Object<'_>, error: &git2::Error) -> Refusal {
    Refusal::new(format!(
        "what tag {} points to cannot be read: {}",
        object.id(),
        error.message()
    ))
}
