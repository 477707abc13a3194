//! The tool `commit`.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use git2::{
    Delta, Index, IndexEntry, IndexTime, Oid, Repository, RepositoryState, Signature, Tree,
};
use pullwright_tool_kit::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;

use super::repository::{failed, open, repository_path};
use super::{bounded, diff, revision};
use crate::base::Base;
use crate::error::WorkspaceError;
use crate::export::SANDBOX_IDENTITY;
use crate::files::{below, shown};
use crate::snapshot::{ExportLimits, Request, Selection, Snapshot, take};

/// Commits changes on the current branch. Without `paths` all changes, untracked files included and
/// ignored ones not. Hooks and filters do not run. Committing is optional: uncommitted changes are
/// part of the result too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    /// The commit message.
    message: String,
    /// Commit only these files and folders, relative to the repository's root.
    #[serde(default)]
    paths: Vec<String>,
}

pub(crate) fn run(root: &Path, args: &Commit) -> Result<String, Refusal> {
    if args.message.trim().is_empty() {
        return Err(Refusal::new(
            "the commit message is empty; say what changed and why",
        ));
    }
    let repository = open(root)?;
    if repository.state() != RepositoryState::Clean {
        return Err(Refusal::new(
            "a merge, rebase or similar is in progress; finish or abort it first",
        ));
    }
    let head = revision::commit(&repository, "HEAD")?;
    let base = Base::read(repository.path(), &head.id().to_string()).map_err(refuse)?;
    let selection = selection(root, &base, &args.paths)?;
    let snapshot = snapshot(root, &repository, &base, &selection)?;
    if snapshot.tree == base.tree {
        return Err(Refusal::new(format!(
            "nothing to commit: no changes{}",
            left_out(&snapshot)
        )));
    }
    let tree = repository
        .find_tree(snapshot.tree)
        .map_err(failed("read the new tree"))?;
    let old = head.tree().map_err(failed("read HEAD"))?;
    // First what a lock can refuse, so that a refusal leaves no commit behind.
    stage(&repository, &old, &tree)?;
    let id = write(&repository, &args.message, &tree, &head)?;
    answer(&repository, id, &snapshot)
}

fn snapshot(
    root: &Path,
    repository: &Repository,
    base: &Base,
    selection: &Selection,
) -> Result<Snapshot, Refusal> {
    let store = repository.odb().map_err(failed("open the object store"))?;
    take(&Request {
        root,
        base,
        exclude_file: &repository.path().join("info/exclude"),
        selection,
        limits: &ExportLimits::default(),
        store: &store,
    })
    .map_err(refuse)
}

fn selection(root: &Path, base: &Base, paths: &[String]) -> Result<Selection, Refusal> {
    let mut selected = BTreeSet::new();
    for path in paths {
        let clean = repository_path(root, path)?.into_os_string().into_vec();
        if below(root, &clean).symlink_metadata().is_err() && !base.holds(&clean) {
            return Err(Refusal::new(format!(
                "there is no {}, and HEAD has none either",
                shown(&clean)
            )));
        }
        selected.insert(clean);
    }
    Ok(match selected.is_empty() {
        true => Selection::All,
        false => Selection::Paths(selected),
    })
}

/// Brings the index in line with the commit, for the changed paths only.
fn stage(repository: &Repository, old: &Tree<'_>, new: &Tree<'_>) -> Result<(), Refusal> {
    let diff = repository
        .diff_tree_to_tree(Some(old), Some(new), None)
        .map_err(failed("compare the new tree with HEAD"))?;
    let mut index = repository.index().map_err(failed("read the index"))?;
    for delta in diff
        .deltas()
        .filter(|delta| delta.status() == Delta::Deleted)
    {
        if let Some(path) = delta.old_file().path() {
            index
                .remove_path(path)
                .map_err(failed("update the index"))?;
        }
    }
    for delta in diff
        .deltas()
        .filter(|delta| delta.status() != Delta::Deleted)
    {
        add(&mut index, &delta.new_file())?;
    }
    index.write().map_err(failed(
        "write the index (is another git running, or a stale .git/index.lock left?)",
    ))
}

/// Adds an entry without file times, so that git looks at the file again.
fn add(index: &mut Index, file: &git2::DiffFile<'_>) -> Result<(), Refusal> {
    let entry = IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: file.mode().into(),
        uid: 0,
        gid: 0,
        file_size: 0,
        id: file.id(),
        flags: 0,
        flags_extended: 0,
        path: file.path_bytes().unwrap_or_default().to_vec(),
    };
    index.add(&entry).map_err(failed("update the index"))
}

fn write(
    repository: &Repository,
    message: &str,
    tree: &Tree<'_>,
    parent: &git2::Commit<'_>,
) -> Result<Oid, Refusal> {
    let (name, email) = SANDBOX_IDENTITY;
    let who = Signature::now(name, email).map_err(failed("make the identity"))?;
    repository
        .commit(Some("HEAD"), &who, &who, message, tree, &[parent])
        .map_err(failed("make the commit"))
}

fn answer(repository: &Repository, id: Oid, snapshot: &Snapshot) -> Result<String, Refusal> {
    let commit = repository
        .find_commit(id)
        .map_err(failed("read the commit"))?;
    let changes = diff::render(&diff::of_commit(repository, &commit)?, true)?;
    let id = id.to_string();
    let text = format!("committed {}\n{changes}{}", &id[..10], left_out(snapshot));
    Ok(bounded(&text, "`show` with `stat` shows the commit."))
}

fn left_out(snapshot: &Snapshot) -> String {
    let lines = snapshot
        .left_out
        .iter()
        .map(|left| format!("\nleft out {}: {}", left.path, left.reason));
    lines.collect()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err takes"
)]
fn refuse(error: WorkspaceError) -> Refusal {
    Refusal::new(error.to_string())
}
