//! Takes the work out of a workspace as a git bundle.

use std::io::Write;
use std::path::{Path, PathBuf};

use git2::{Config, ObjectType, Odb, Oid, Repository};
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::error::{WorkspaceError, git_error};
use crate::snapshot::{ExportLimits, LeftOut, Request, Selection, Snapshot, take};

/// The ref in the bundle that holds the work.
pub const WORK_REF: &str = "refs/heads/work";

/// The identity of every commit made inside a sandbox. The control plane rebuilds the commit with
/// its own, so this one never leaves.
pub const SANDBOX_IDENTITY: (&str, &str) = ("Pullwright sandbox", "sandbox@pullwright.invalid");

/// Where the object store is, and how much a change may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The repository with the base's objects; the workspace's own `.git` if absent.
    pub git_dir: Option<PathBuf>,
    /// The caps.
    pub limits: ExportLimits,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSummary {
    /// The commit in the bundle; absent when the workspace is as the base, and then nothing was
    /// written at all.
    pub commit: Option<String>,
    /// The workspace's tree.
    pub tree: String,
    /// How many objects the bundle holds.
    pub objects: usize,
    /// How many bytes of content the base does not have.
    pub new_bytes: u64,
    /// What could not be part of the change.
    pub left_out: Vec<LeftOut>,
    /// `.git` entries of nested repositories. The files beside them are part of the change.
    pub nested_repositories: Vec<String>,
}

/// Writes a bundle of one commit on top of `base` to `out`: its tree is the workspace's files as they
/// are now, ignored ones aside. Writes nothing if that is the base's tree.
///
/// Runs no program, reads neither index, refs nor configuration, and changes nothing.
///
/// # Errors
/// When the base cannot be read, a cap is reached, or `out` fails. What was written until then is
/// of no use.
pub fn export(
    root: &Path,
    base: &str,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<ExportSummary, WorkspaceError> {
    let own = root.join(".git");
    let id = base;
    let base = Base::read(options.git_dir.as_deref().unwrap_or(&own), id)?;
    if base.is_bare_tree() {
        return Err(WorkspaceError::BadBase {
            base: id.to_owned(),
        });
    }
    let memory = memory_repository()?;
    let store = memory.odb().map_err(git_error("make an object store"))?;
    let snapshot = take(&Request {
        root,
        base: &base,
        exclude_file: &own.join("info/exclude"),
        selection: &Selection::All,
        limits: &options.limits,
        store: &store,
    })?;
    let commit = match snapshot.tree == base.tree {
        true => None,
        false => Some(write_bundle(&base, &snapshot, &memory, out)?),
    };
    Ok(summary(snapshot, commit))
}

fn summary(snapshot: Snapshot, commit: Option<Oid>) -> ExportSummary {
    ExportSummary {
        objects: commit.map_or(0, |_| snapshot.new_objects.len() + 1),
        commit: commit.map(|id| id.to_string()),
        tree: snapshot.tree.to_string(),
        new_bytes: snapshot.new_bytes,
        left_out: snapshot.left_out,
        nested_repositories: snapshot.nested,
    }
}

/// New objects are held in memory, up to the cap: a damaged or hostile object store of the workspace
/// has no part in them. An empty configuration keeps the library from reading the user's, which the
/// agent may have written.
fn memory_repository() -> Result<Repository, WorkspaceError> {
    const ONLY: i32 = 1;
    let make = || {
        let store = Odb::new()?;
        store.add_new_mempack_backend(ONLY)?;
        let repository = Repository::from_odb(store)?;
        repository.set_config(&Config::new()?)?;
        Ok(repository)
    };
    make().map_err(git_error("make an object store"))
}

fn write_bundle(
    base: &Base,
    snapshot: &Snapshot,
    memory: &Repository,
    out: &mut dyn Write,
) -> Result<Oid, WorkspaceError> {
    let content = commit_content(base, snapshot.tree);
    let commit = memory
        .odb()
        .and_then(|store| store.write(ObjectType::Commit, content.as_bytes()))
        .map_err(git_error("store the commit"))?;
    let header = format!(
        "# v2 git bundle\n-{} base\n{commit} {WORK_REF}\n\n",
        base.commit
    );
    write_out(out, header.as_bytes())?;
    write_pack(snapshot, commit, memory, out)?;
    Ok(commit)
}

/// The same work gives the same commit: its time is the base's.
fn commit_content(base: &Base, tree: Oid) -> String {
    let (name, email) = SANDBOX_IDENTITY;
    let who = format!("{name} <{email}> {} +0000", base.seconds.max(0));
    let parent = base.commit;
    format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nwork\n")
}

fn write_pack(
    snapshot: &Snapshot,
    commit: Oid,
    memory: &Repository,
    out: &mut dyn Write,
) -> Result<(), WorkspaceError> {
    let mut pack = memory.packbuilder().map_err(git_error("start a pack"))?;
    pack.set_threads(1);
    for id in snapshot.new_objects.iter().chain([&commit]) {
        pack.insert_object(*id, None)
            .map_err(git_error("add an object to the pack"))?;
    }
    let mut failed = None;
    let written = pack.foreach(|bytes| match write_out(out, bytes) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    match failed {
        Some(error) => Err(error),
        None => written.map_err(git_error("write the pack")),
    }
}

fn write_out(out: &mut dyn Write, bytes: &[u8]) -> Result<(), WorkspaceError> {
    out.write_all(bytes).map_err(|source| WorkspaceError::Io {
        what: "write the bundle".to_owned(),
        source,
    })
}
