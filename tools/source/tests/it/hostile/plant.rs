//! Objects that git itself would not make.

use std::path::Path;

use crate::lab::{git_with, text};

/// An entry of a tree, as raw as it is stored.
pub(super) struct Entry {
    mode: &'static str,
    name: Vec<u8>,
    id: String,
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// A file or symlink.
pub(super) fn blob(
    folder: &Path,
    mode: &'static str,
    name: impl Into<Vec<u8>>,
    content: &[u8],
) -> Entry {
    let id = store(folder, "blob", content);
    entry(mode, name, id)
}

pub(super) fn entry(mode: &'static str, name: impl Into<Vec<u8>>, id: String) -> Entry {
    Entry {
        mode,
        name: name.into(),
        id,
    }
}

/// A folder of these entries.
pub(super) fn folder(repository: &Path, name: impl Into<Vec<u8>>, entries: Vec<Entry>) -> Entry {
    let id = tree(repository, entries);
    entry("40000", name, id)
}

/// Writes a tree, sorted as git wants it.
pub(super) fn tree(repository: &Path, mut entries: Vec<Entry>) -> String {
    entries.sort_by_key(|entry| {
        let slash = if entry.mode == "40000" {
            &b"/"[..]
        } else {
            b""
        };
        [&entry.name, slash].concat()
    });
    let rows = entries.into_iter().flat_map(|entry| {
        let head = [entry.mode.as_bytes(), b" ", &entry.name, b"\0"].concat();
        [head, bytes_of(&entry.id)].concat()
    });
    store(repository, "tree", &rows.collect::<Vec<u8>>())
}

/// Writes an object without asking whether it is sound.
pub(super) fn store(repository: &Path, kind: &str, content: &[u8]) -> String {
    let args = ["hash-object", "-w", "-t", kind, "--literally", "--stdin"];
    let id = git_with(repository, &args, content);
    String::from_utf8(id).unwrap().trim().to_owned()
}

/// Commits a tree on top of a commit and answers the new one.
pub(super) fn commit(repository: &Path, tree: &str, parent: &str) -> String {
    text(
        repository,
        &["commit-tree", tree, "-p", parent, "-m", "planted"],
    )
}

pub(super) fn bytes_of(id: &str) -> Vec<u8> {
    let pairs = (0..id.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap())
        .collect()
}
