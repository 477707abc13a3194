//! What differs between two trees, entry by entry, with the raw modes.
//!
//! Renames are not looked for and modes are not normalised: the policy wants what is there.

use std::collections::BTreeMap;

use git2::{Oid, Repository};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::bundle::unsound;

pub(crate) const TREE: i32 = 0o040_000;
pub(crate) const FILE: i32 = 0o100_644;
pub(crate) const EXECUTABLE: i32 = 0o100_755;
pub(crate) const SYMLINK: i32 = 0o120_000;
pub(crate) const GITLINK: i32 = 0o160_000;

/// Against a tree that unfolds without end: more changed paths than this are an error.
const MAX_CHANGES: usize = 200_000;
/// Against a tree that holds itself many times over: how many folders are compared.
const MAX_FOLDERS: usize = 500_000;
/// Against a tree nested beyond what any file system takes.
const MAX_DEPTH: usize = 512;

/// An entry that is not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: i32,
    pub(crate) id: Oid,
}

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: Vec<u8>,
    pub(crate) old: Option<Entry>,
    pub(crate) new: Option<Entry>,
}

impl Change {
    /// The path as text.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// `A`, `M`, `D` or `T`, as git has it.
    pub(crate) fn status(&self) -> char {
        match (self.old, self.new) {
            (None, _) => 'A',
            (_, None) => 'D',
            (Some(old), Some(new)) if old.mode & 0o170_000 != new.mode & 0o170_000 => 'T',
            _ => 'M',
        }
    }
}

/// The changed paths, sorted.
pub(crate) fn trees(
    repository: &Repository,
    old: Oid,
    new: Oid,
) -> Result<Vec<Change>, SourceError> {
    let mut changes = Vec::new();
    let mut pending = vec![(Vec::new(), Some(old), Some(new), 0)];
    let mut folders = 0;
    while let Some((prefix, old, new, depth)) = pending.pop() {
        folders += 1;
        if depth > MAX_DEPTH {
            return Err(unsound("its folders are nested too deeply"));
        }
        if folders > MAX_FOLDERS {
            return Err(too_many());
        }
        for (name, (old, new)) in pairs(repository, old, new)? {
            if old == new {
                continue;
            }
            let path = join(&prefix, &name);
            let (old_tree, new_tree) = (tree_of(old), tree_of(new));
            if old_tree.is_some() || new_tree.is_some() {
                pending.push((path.clone(), old_tree, new_tree, depth + 1));
            }
            let (old, new) = (leaf(old), leaf(new));
            if old.is_some() || new.is_some() {
                changes.push(Change { path, old, new });
            }
            if changes.len() + pending.len() > MAX_CHANGES {
                return Err(too_many());
            }
        }
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

/// The entries of one tree.
pub(crate) fn entries(
    repository: &Repository,
    tree: Oid,
) -> Result<Vec<(Vec<u8>, Entry)>, SourceError> {
    let tree = repository
        .find_tree(tree)
        .map_err(|error| unsound(&format!("a tree cannot be read: {}", error.message())))?;
    let entry = |entry: git2::TreeEntry<'_>| {
        let (mode, id) = (entry.filemode_raw(), entry.id());
        (entry.name_bytes().to_vec(), Entry { mode, id })
    };
    Ok(tree.iter().map(entry).collect())
}

pub(crate) fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    match prefix {
        [] => name.to_vec(),
        _ => [prefix, b"/", name].concat(),
    }
}

type Pairs = BTreeMap<Vec<u8>, (Option<Entry>, Option<Entry>)>;

fn pairs(
    repository: &Repository,
    old: Option<Oid>,
    new: Option<Oid>,
) -> Result<Pairs, SourceError> {
    let mut pairs = Pairs::new();
    if let Some(old) = old {
        for (name, entry) in entries(repository, old)? {
            pairs.entry(name).or_default().0 = Some(entry);
        }
    }
    if let Some(new) = new {
        for (name, entry) in entries(repository, new)? {
            pairs.entry(name).or_default().1 = Some(entry);
        }
    }
    Ok(pairs)
}

fn tree_of(entry: Option<Entry>) -> Option<Oid> {
    entry
        .filter(|entry| entry.mode == TREE)
        .map(|entry| entry.id)
}

fn leaf(entry: Option<Entry>) -> Option<Entry> {
    entry.filter(|entry| entry.mode != TREE)
}

fn too_many() -> SourceError {
    SourceError::new(
        FailureKind::Limit,
        format!("the work changes more than {MAX_CHANGES} paths; is a build folder not ignored?"),
    )
}
