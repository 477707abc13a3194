//! How much a tree unfolds to, before any of it is written: a few objects can stand for more files than any disk takes.

use std::collections::HashMap;

use git2::{Oid, Repository};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::diff::{self, GITLINK, TREE};

/// Against a tree that unfolds without end: how many files a checkout may have.
const MAX_FILES: u64 = 2_000_000;
/// No path of more bytes can be opened.
const MAX_PATH_BYTES: u64 = 4000;
/// Against a tree nested beyond what any program walks.
const MAX_DEPTH: u64 = 512;
/// How many times as large as its clone the files of a repository may be: source code packs well.
const FILES_TO_CLONE: u64 = 8;

/// What a tree unfolds to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    files: u64,
    bytes: u64,
    /// The longest path's.
    path_bytes: u64,
    depth: u64,
}

/// Refuses a tree that no disk or file system takes. Each object is looked at once, however often it is there.
pub(crate) fn check(git: &Repository, tree: Oid, max_clone_bytes: u64) -> Result<(), SourceError> {
    let extent = measure(git, tree)?;
    let max_bytes = max_clone_bytes.saturating_mul(FILES_TO_CLONE);
    let too = |what: String| Err(SourceError::new(FailureKind::Limit, what));
    if extent.files > MAX_FILES {
        return too(format!(
            "the base commit has {} files, more than {MAX_FILES}",
            extent.files
        ));
    }
    if extent.bytes > max_bytes {
        return too(format!(
            "the files of the base commit have {} MiB, more than {} MiB; raise `[repositories] max_clone_mb` \
             if that is meant",
            extent.bytes >> 20,
            max_bytes >> 20
        ));
    }
    if extent.depth > MAX_DEPTH {
        return Err(too_deep());
    }
    if extent.path_bytes > MAX_PATH_BYTES {
        return too(format!(
            "a path of the base commit has {} bytes, more than {MAX_PATH_BYTES}",
            extent.path_bytes
        ));
    }
    Ok(())
}

/// A tree whose folders are measured one after the other.
struct Open {
    tree: Oid,
    entries: std::vec::IntoIter<(Vec<u8>, diff::Entry)>,
    sum: Extent,
    /// How long the name is under which it stands.
    name_bytes: u64,
}

impl Open {
    fn new(git: &Repository, tree: Oid, name_bytes: u64) -> Result<Self, SourceError> {
        Ok(Self {
            tree,
            entries: diff::entries(git, tree)?.into_iter(),
            sum: Extent::default(),
            name_bytes,
        })
    }
}

fn measure(git: &Repository, root: Oid) -> Result<Extent, SourceError> {
    let odb = git
        .odb()
        .map_err(|error| crate::objects::broken(git.path(), &error))?;
    let (mut trees, mut blobs) = (HashMap::new(), HashMap::new());
    let mut open = vec![Open::new(git, root, 0)?];
    while let Some(top) = open.last_mut() {
        let Some((name, entry)) = top.entries.next() else {
            let Some(done) = open.pop() else { break };
            trees.insert(done.tree, done.sum);
            match open.last_mut() {
                Some(above) => above.sum.add_folder(done.name_bytes, done.sum),
                None => return Ok(done.sum),
            }
            continue;
        };
        let name_bytes = name.len() as u64;
        match entry.mode {
            TREE => match trees.get(&entry.id) {
                Some(known) => top.sum.add_folder(name_bytes, *known),
                None if open.len() as u64 > MAX_DEPTH => return Err(too_deep()),
                None => open.push(Open::new(git, entry.id, name_bytes)?),
            },
            GITLINK => top.sum.add_file(name_bytes, 0),
            _ => {
                let size = match blobs.get(&entry.id) {
                    Some(size) => *size,
                    None => odb.read_header(entry.id).map_or(0, |(size, _)| size as u64),
                };
                blobs.insert(entry.id, size);
                top.sum.add_file(name_bytes, size);
            }
        }
    }
    Ok(Extent::default())
}

impl Extent {
    fn add_file(&mut self, name_bytes: u64, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.path_bytes = self.path_bytes.max(name_bytes);
    }

    fn add_folder(&mut self, name_bytes: u64, folder: Self) {
        self.files = self.files.saturating_add(folder.files);
        self.bytes = self.bytes.saturating_add(folder.bytes);
        let path_bytes = name_bytes + 1 + folder.path_bytes;
        self.path_bytes = self.path_bytes.max(path_bytes);
        self.depth = self.depth.max(folder.depth + 1);
    }
}

fn too_deep() -> SourceError {
    SourceError::new(
        FailureKind::Limit,
        format!("the folders of the base commit are nested more than {MAX_DEPTH} deep"),
    )
}
