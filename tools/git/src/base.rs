//! The commit a run started from, read from the object store alone.
//!
//! Index, refs and configuration of the workspace's repository are the agent's to break, so they are
//! not read. Objects cannot be forged: each is read by its hash, and the hash is checked.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use git2::{ObjectType, Odb, Oid};

use crate::deadline::{DAMAGED_REPOSITORY_TIMEOUT, within};
use crate::error::{WorkspaceError, git_error};

/// Folders nested deeper than this are refused: they could exhaust the stack.
pub(crate) const MAX_DEPTH: usize = 256;

pub(crate) const MODE_FOLDER: u32 = 0o040_000;
pub(crate) const MODE_FILE: u32 = 0o100_644;
pub(crate) const MODE_EXECUTABLE: u32 = 0o100_755;
pub(crate) const MODE_LINK: u32 = 0o120_000;
pub(crate) const MODE_GITLINK: u32 = 0o160_000;

/// The base commit with all its trees.
pub(crate) struct Base {
    pub(crate) commit: Oid,
    pub(crate) tree: Oid,
    /// The committer's time, in seconds since 1970.
    pub(crate) seconds: i64,
    pub(crate) root: Folder,
    /// Every object the tree consists of.
    pub(crate) objects: HashSet<Oid>,
    odb: Odb<'static>,
}

/// The entries of a tree, by name.
pub(crate) type Folder = BTreeMap<Vec<u8>, Node>;

/// An entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: u32,
    pub(crate) id: Oid,
}

/// An entry of the base, with what is below it.
pub(crate) struct Node {
    pub(crate) entry: Entry,
    /// The entries, for a folder.
    pub(crate) folder: Option<Folder>,
}

impl Base {
    /// Reads `commit` (40 hexadecimal digits) from the repository at `git_dir`; also a tree, where
    /// no commit is needed.
    pub(crate) fn read(git_dir: &Path, commit: &str) -> Result<Self, WorkspaceError> {
        let (folder, base) = (git_dir.to_owned(), commit.to_owned());
        within(DAMAGED_REPOSITORY_TIMEOUT, move || {
            Self::read_all(&folder, &base)
        })
        .unwrap_or_else(|| Err(never_ends(git_dir)))
    }

    fn read_all(git_dir: &Path, commit: &str) -> Result<Self, WorkspaceError> {
        let odb = open_objects(git_dir)?;
        let (commit_id, tree, seconds) = read_commit(&odb, commit)?;
        let mut reader = TreeReader {
            odb: &odb,
            commit,
            objects: HashSet::from([tree]),
        };
        let root = reader.folder(tree, 0)?;
        let objects = reader.objects;
        Ok(Self {
            commit: commit_id,
            tree,
            seconds,
            root,
            objects,
            odb,
        })
    }

    /// Whether it was read from a tree, so that nothing can be built on top of it.
    pub(crate) fn is_bare_tree(&self) -> bool {
        self.commit == self.tree
    }

    /// Whether there is a file or folder at `path`.
    pub(crate) fn holds(&self, path: &[u8]) -> bool {
        let mut folder = Some(&self.root);
        path.split(|byte| *byte == b'/').all(|name| {
            let node = folder.and_then(|folder| folder.get(name));
            folder = node.and_then(|node| node.folder.as_ref());
            node.is_some()
        })
    }

    /// The size of an object, in bytes.
    pub(crate) fn size_of(&self, id: Oid) -> Option<u64> {
        let (size, _) = self.odb.read_header(id).ok()?;
        u64::try_from(size).ok()
    }

    /// The content of one of its files.
    pub(crate) fn blob(&self, id: Oid) -> Result<Vec<u8>, WorkspaceError> {
        read(&self.odb, &self.commit.to_string(), id, ObjectType::Blob)
    }
}

fn never_ends(git_dir: &Path) -> WorkspaceError {
    WorkspaceError::NoRepository {
        path: git_dir.to_owned(),
        reason: format!(
            "reading its objects did not end within {} s, so one is damaged",
            DAMAGED_REPOSITORY_TIMEOUT.as_secs()
        ),
    }
}

impl Entry {
    pub(crate) fn is_folder(self) -> bool {
        self.mode == MODE_FOLDER
    }

    pub(crate) fn is_gitlink(self) -> bool {
        self.mode == MODE_GITLINK
    }

    pub(crate) fn is_link(self) -> bool {
        self.mode == MODE_LINK
    }

    pub(crate) fn is_file(self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub(crate) fn is_executable(self) -> bool {
        self.is_file() && self.mode & 0o100 != 0
    }
}

/// A store with nothing but the objects of `git_dir`: no configuration is read.
fn open_objects(git_dir: &Path) -> Result<Odb<'static>, WorkspaceError> {
    let missing = |reason: &str| WorkspaceError::NoRepository {
        path: git_dir.to_owned(),
        reason: reason.to_owned(),
    };
    match git_dir.symlink_metadata() {
        Err(error) => return Err(missing(&error.to_string())),
        Ok(metadata) if !metadata.is_dir() => return Err(missing("it is not a folder")),
        Ok(_) => {}
    }
    let objects = git_dir.join("objects");
    if !objects.is_dir() {
        return Err(missing("it has no objects folder"));
    }
    let objects = objects
        .to_str()
        .ok_or_else(|| missing("its path is not UTF-8"))?;
    let odb = Odb::new().map_err(git_error("make an object store"))?;
    odb.add_disk_alternate(objects)
        .map_err(|error| missing(error.message()))?;
    Ok(odb)
}

fn read(odb: &Odb<'_>, base: &str, id: Oid, kind: ObjectType) -> Result<Vec<u8>, WorkspaceError> {
    let unreadable = |reason: &str| WorkspaceError::BaseUnreadable {
        base: base.to_owned(),
        kind: kind.str(),
        id: id.to_string(),
        reason: reason.to_owned(),
    };
    let object = odb.read(id).map_err(|error| unreadable(error.message()))?;
    if object.kind() != kind {
        return Err(unreadable(&format!("it is a {}", object.kind().str())));
    }
    Ok(object.data().to_vec())
}

fn read_commit(odb: &Odb<'_>, base: &str) -> Result<(Oid, Oid, i64), WorkspaceError> {
    let bad = || WorkspaceError::BadBase {
        base: base.to_owned(),
    };
    if base.len() != 40 {
        return Err(bad());
    }
    let commit = Oid::from_str(base).map_err(|_| bad())?;
    if odb
        .read_header(commit)
        .is_ok_and(|(_, kind)| kind == ObjectType::Tree)
    {
        return Ok((commit, commit, 0));
    }
    let text = read(odb, base, commit, ObjectType::Commit)?;
    let malformed = || WorkspaceError::BaseUnreadable {
        base: base.to_owned(),
        kind: "commit",
        id: base.to_owned(),
        reason: "it is malformed".to_owned(),
    };
    let tree = header(&text, b"tree ").and_then(|id| Oid::from_str(&id).ok());
    let seconds = header(&text, b"committer ").and_then(|line| {
        line.rsplit(' ')
            .nth(1)
            .and_then(|seconds| seconds.parse().ok())
    });
    Ok((
        commit,
        tree.ok_or_else(malformed)?,
        seconds.unwrap_or_default(),
    ))
}

fn header(commit: &[u8], name: &[u8]) -> Option<String> {
    let mut lines = commit
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| line.strip_prefix(name))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

struct TreeReader<'a> {
    odb: &'a Odb<'a>,
    commit: &'a str,
    objects: HashSet<Oid>,
}

impl TreeReader<'_> {
    fn folder(&mut self, id: Oid, depth: usize) -> Result<Folder, WorkspaceError> {
        if depth > MAX_DEPTH {
            return Err(WorkspaceError::TooDeep {
                path: format!("tree {id}"),
                limit: MAX_DEPTH,
            });
        }
        let data = read(self.odb, self.commit, id, ObjectType::Tree)?;
        let mut folder = Folder::new();
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let (name, entry, after) = parse_entry(rest).ok_or_else(|| self.malformed(id))?;
            let below = match entry.is_folder() {
                true => Some(self.folder(entry.id, depth + 1)?),
                false => None,
            };
            self.objects.insert(entry.id);
            folder.insert(
                name.to_vec(),
                Node {
                    entry,
                    folder: below,
                },
            );
            rest = after;
        }
        Ok(folder)
    }

    fn malformed(&self, id: Oid) -> WorkspaceError {
        WorkspaceError::BaseUnreadable {
            base: self.commit.to_owned(),
            kind: "tree",
            id: id.to_string(),
            reason: "it is malformed".to_owned(),
        }
    }
}

/// The first entry of a tree object's content, and what follows it.
fn parse_entry(data: &[u8]) -> Option<(&[u8], Entry, &[u8])> {
    const ID_BYTES: usize = 20;
    let space = data.iter().position(|byte| *byte == b' ')?;
    let end = data.iter().position(|byte| *byte == 0)?;
    let mode = std::str::from_utf8(&data[..space]).ok()?;
    let mode = u32::from_str_radix(mode, 8).ok()?;
    let name = data.get(space + 1..end)?;
    let id = data.get(end + 1..end + 1 + ID_BYTES)?;
    let entry = Entry {
        mode,
        id: Oid::from_bytes(id).ok()?,
    };
    Some((name, entry, &data[end + 1 + ID_BYTES..]))
}
