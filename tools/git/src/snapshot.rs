//! The tree that a workspace's files amount to, byte for byte.
//!
//! Not git's own `add`: no filter, attribute, hook or line-end conversion has a say, and neither
//! index nor configuration is read. A path of the base counts even where it is ignored.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use git2::{ObjectType, Odb, Oid};
use serde::{Deserialize, Serialize};

use crate::base::{
    Base, Entry, Folder, MAX_DEPTH, MODE_EXECUTABLE, MODE_FILE, MODE_FOLDER, MODE_LINK, Node,
};
use crate::error::{WorkspaceError, git_error, io_error};
use crate::files::{Opened, below, is_executable, join, open_file, shown};
use crate::ignore_rules::{GITIGNORE, IgnoreRules};
use crate::names::forbidden;

/// How much a change may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportLimits {
    /// A changed file of more bytes is left out, and named in the summary.
    pub max_file_bytes: u64,
    /// More bytes of new content in all are an error. They are held in memory.
    pub max_total_bytes: u64,
    /// More entries in the workspace, ignored ones aside, are an error.
    pub max_entries: usize,
}

impl Default for ExportLimits {
    fn default() -> Self {
        Self {
            // GitHub refuses a push with a file of 100 MB.
            max_file_bytes: 95_000_000,
            max_total_bytes: 256_000_000,
            max_entries: 1_000_000,
        }
    }
}

/// A path that is not part of the change although it is not ignored. What the base holds there,
/// if anything, stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The path, quoted like git quotes it where it is not plain text.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A workspace as a tree.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) tree: Oid,
    /// The objects that the base does not have.
    pub(crate) new_objects: Vec<Oid>,
    pub(crate) new_bytes: u64,
    pub(crate) left_out: Vec<LeftOut>,
    /// Folders with a repository of their own, whose files count but whose `.git` does not.
    pub(crate) nested: Vec<String>,
}

/// Which paths to take from the workspace; the others stay as they are in the base.
pub(crate) enum Selection {
    All,
    Paths(BTreeSet<Vec<u8>>),
}

/// What to take a snapshot of, and where its new objects go.
pub(crate) struct Request<'a> {
    pub(crate) root: &'a Path,
    pub(crate) base: &'a Base,
    pub(crate) exclude_file: &'a Path,
    pub(crate) selection: &'a Selection,
    pub(crate) limits: &'a ExportLimits,
    pub(crate) store: &'a Odb<'a>,
}

/// Takes a snapshot.
pub(crate) fn take(request: &Request<'_>) -> Result<Snapshot, WorkspaceError> {
    let mut walk = Walk {
        request,
        rules: IgnoreRules::default(),
        seen: HashSet::new(),
        entries: 0,
        out: Snapshot {
            tree: request.base.tree,
            new_objects: Vec::new(),
            new_bytes: 0,
            left_out: Vec::new(),
            nested: Vec::new(),
        },
    };
    walk.rules.enter(b"", request.exclude_file);
    let tree = walk.folder(b"", Some(&request.base.root), false, 0)?;
    let root = tree.unwrap_or_default();
    walk.out.tree = walk.put_tree(b"", &root)?;
    Ok(walk.out)
}

struct Walk<'a> {
    request: &'a Request<'a>,
    rules: IgnoreRules,
    seen: HashSet<Oid>,
    entries: usize,
    out: Snapshot,
}

/// The entries of a new tree, by name.
type NewTree = BTreeMap<Vec<u8>, Entry>;

/// One name in a folder of the workspace.
struct Found<'a> {
    path: &'a [u8],
    base: Option<&'a Node>,
    /// Whether a parent is ignored, so that only what the base has counts.
    ignored: bool,
    depth: usize,
}

impl Walk<'_> {
    /// The new tree of a folder; nothing if it cannot be read.
    fn folder(
        &mut self,
        path: &[u8],
        base: Option<&Folder>,
        ignored: bool,
        depth: usize,
    ) -> Result<Option<NewTree>, WorkspaceError> {
        if depth > MAX_DEPTH {
            return Err(WorkspaceError::TooDeep {
                path: shown(path),
                limit: MAX_DEPTH,
            });
        }
        let on_disk = below(self.request.root, path);
        let mut names = match names_in(&on_disk) {
            Ok(names) => names,
            Err(error) if depth == 0 => return Err(io_error("list", &on_disk)(error)),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                self.leave_out(path, format!("the folder cannot be listed: {error}"));
                return Ok(None);
            }
        };
        names.extend(self.partly_selected(path, base));
        self.rules.enter(path, &on_disk.join(GITIGNORE));
        let tree = self.entries_of(path, base, ignored, depth, names);
        self.rules.leave();
        tree.map(Some)
    }

    fn entries_of(
        &mut self,
        path: &[u8],
        base: Option<&Folder>,
        ignored: bool,
        depth: usize,
        names: BTreeSet<Vec<u8>>,
    ) -> Result<NewTree, WorkspaceError> {
        let mut tree = self.unselected(path, base, &names);
        for name in names {
            let path = join(path, &name);
            if name == b".git" {
                if depth > 0 && !ignored {
                    self.out.nested.push(shown(&path));
                }
                continue;
            }
            let base = base.and_then(|base| base.get(&name));
            let found = Found {
                path: &path,
                base,
                ignored,
                depth,
            };
            let entry = match self.request.selection.reaches(&path) {
                true => self.entry(&found)?,
                false => base.map(|node| node.entry),
            };
            if let Some(entry) = entry {
                tree.insert(name, entry);
            }
        }
        Ok(tree)
    }

    /// What the base holds at paths that are gone from the workspace but not selected.
    fn unselected(&self, path: &[u8], base: Option<&Folder>, names: &BTreeSet<Vec<u8>>) -> NewTree {
        let base = base.into_iter().flatten();
        base.filter(|(name, _)| {
            !names.contains(*name) && !self.request.selection.reaches(&join(path, name))
        })
        .map(|(name, node)| (name.clone(), node.entry))
        .collect()
    }

    /// Folders of the base of which only a part is selected: what is not stays, even where the
    /// whole folder is gone from the workspace.
    fn partly_selected(&self, path: &[u8], base: Option<&Folder>) -> Vec<Vec<u8>> {
        let base = base.into_iter().flatten();
        base.filter(|(name, node)| {
            node.folder.is_some() && self.request.selection.reaches_only_below(&join(path, name))
        })
        .map(|(name, _)| name.clone())
        .collect()
    }

    /// What a path amounts to in the new tree, if anything.
    fn entry(&mut self, found: &Found<'_>) -> Result<Option<Entry>, WorkspaceError> {
        let on_disk = below(self.request.root, found.path);
        let Ok(metadata) = on_disk.symlink_metadata() else {
            let partly = self.request.selection.reaches_only_below(found.path);
            return if partly {
                self.subfolder(found)
            } else {
                Ok(None)
            };
        };
        if metadata.is_dir() {
            return self.subfolder(found);
        }
        let tracked = found.base.is_some_and(|node| !node.entry.is_folder());
        if !tracked && (found.ignored || self.rules.ignores(found.path, false)) {
            return Ok(None);
        }
        self.count(found.path)?;
        if let Some(reason) = forbidden(name_of(found.path), metadata.is_symlink()) {
            return Ok(self.keep_base(found, reason));
        }
        if metadata.is_symlink() {
            return self.link(found, &on_disk);
        }
        if metadata.is_file() {
            return self.file(found, &on_disk);
        }
        self.leave_out(found.path, "it is neither a file, a folder nor a link");
        Ok(None)
    }

    fn subfolder(&mut self, found: &Found<'_>) -> Result<Option<Entry>, WorkspaceError> {
        if let Some(node) = found.base.filter(|node| node.entry.is_gitlink()) {
            return Ok(Some(node.entry));
        }
        let base = found.base.and_then(|node| node.folder.as_ref());
        let ignored = found.ignored || self.rules.ignores(found.path, true);
        if ignored && base.is_none() {
            return Ok(None);
        }
        self.count(found.path)?;
        if let Some(reason) = forbidden(name_of(found.path), false) {
            return Ok(self.keep_base(found, reason));
        }
        let Some(tree) = self.folder(found.path, base, ignored, found.depth + 1)? else {
            return Ok(found.base.map(|node| node.entry));
        };
        if tree.is_empty() {
            return Ok(None);
        }
        let id = self.put_tree(found.path, &tree)?;
        Ok(Some(Entry {
            mode: MODE_FOLDER,
            id,
        }))
    }

    fn link(&mut self, found: &Found<'_>, on_disk: &Path) -> Result<Option<Entry>, WorkspaceError> {
        match on_disk.read_link() {
            Ok(target) => {
                let target = target.into_os_string().into_vec();
                let id = self.put(found.path, ObjectType::Blob, &target)?;
                Ok(Some(Entry {
                    mode: MODE_LINK,
                    id,
                }))
            }
            Err(error) => Ok(self.keep_base(found, &format!("the link cannot be read: {error}"))),
        }
    }

    fn file(&mut self, found: &Found<'_>, on_disk: &Path) -> Result<Option<Entry>, WorkspaceError> {
        let limit = self.request.limits.max_file_bytes;
        let base = found
            .base
            .map(|node| node.entry)
            .filter(|entry| entry.is_file());
        let (content, metadata) = match read_file(on_disk, limit) {
            Ok(ReadFile::Whole(content, metadata)) => (content, metadata),
            Ok(ReadFile::Large(metadata)) => {
                let unchanged = |base: &Entry| self.is_as_large_base(base, on_disk, &metadata);
                if let Some(base) = base.filter(unchanged) {
                    return Ok(Some(with_mode(base.id, &metadata, Some(base))));
                }
                let reason = format!("it has {} bytes, the limit is {limit}", metadata.len());
                return Ok(self.keep_base(found, &reason));
            }
            Ok(ReadFile::Gone) => return Ok(None),
            Err(error) => return Ok(self.keep_base(found, &format!("it cannot be read: {error}"))),
        };
        let id = self.put(found.path, ObjectType::Blob, &content)?;
        Ok(Some(with_mode(id, &metadata, base)))
    }

    /// Whether a large file is the base's own. It is only hashed where its size fits: a file with holes
    /// can pretend to any size and would take hours.
    fn is_as_large_base(&self, base: &Entry, on_disk: &Path, metadata: &Metadata) -> bool {
        let size = self.request.base.size_of(base.id);
        size == Some(metadata.len())
            && Oid::hash_file(ObjectType::Blob, on_disk).ok() == Some(base.id)
    }

    /// Stores an object unless the base has it.
    fn put(&mut self, path: &[u8], kind: ObjectType, data: &[u8]) -> Result<Oid, WorkspaceError> {
        let id = Oid::hash_object(kind, data).map_err(git_error("hash an object"))?;
        if self.request.base.objects.contains(&id) || !self.seen.insert(id) {
            return Ok(id);
        }
        self.out.new_bytes += data.len() as u64;
        let limit = self.request.limits.max_total_bytes;
        if self.out.new_bytes > limit {
            return Err(WorkspaceError::TooLarge {
                path: shown(path),
                limit,
            });
        }
        self.out.new_objects.push(id);
        self.request
            .store
            .write(kind, data)
            .map_err(git_error("store an object"))
    }

    fn put_tree(&mut self, path: &[u8], tree: &NewTree) -> Result<Oid, WorkspaceError> {
        self.put(path, ObjectType::Tree, &tree_content(tree))
    }

    fn keep_base(&mut self, found: &Found<'_>, reason: &str) -> Option<Entry> {
        self.leave_out(found.path, reason);
        found.base.map(|node| node.entry)
    }

    fn leave_out(&mut self, path: &[u8], reason: impl Into<String>) {
        self.out.left_out.push(LeftOut {
            path: shown(path),
            reason: reason.into(),
        });
    }

    fn count(&mut self, path: &[u8]) -> Result<(), WorkspaceError> {
        self.entries += 1;
        let limit = self.request.limits.max_entries;
        if self.entries > limit {
            return Err(WorkspaceError::TooManyFiles {
                path: shown(path),
                limit,
            });
        }
        Ok(())
    }
}

impl Selection {
    /// Whether the path is selected, or something below it.
    fn reaches(&self, path: &[u8]) -> bool {
        let Self::Paths(paths) = self else {
            return true;
        };
        paths
            .iter()
            .any(|selected| is_at_or_below(path, selected) || is_at_or_below(selected, path))
    }

    /// Whether only something below the path is selected.
    fn reaches_only_below(&self, path: &[u8]) -> bool {
        let Self::Paths(paths) = self else {
            return false;
        };
        self.reaches(path) && !paths.iter().any(|selected| is_at_or_below(path, selected))
    }
}

fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The names in a folder, in git's byte order.
pub(crate) fn names_in(folder: &Path) -> std::io::Result<BTreeSet<Vec<u8>>> {
    let entries = folder.read_dir()?;
    entries
        .map(|entry| Ok(entry?.file_name().as_bytes().to_vec()))
        .collect()
}

enum ReadFile {
    Whole(Vec<u8>, Metadata),
    Large(Metadata),
    Gone,
}

fn read_file(path: &Path, limit: u64) -> std::io::Result<ReadFile> {
    let Opened::Regular(file, metadata) = open_file(path)? else {
        return Ok(ReadFile::Gone);
    };
    let mut content = Vec::new();
    if metadata.len() <= limit {
        file.take(limit + 1).read_to_end(&mut content)?;
    }
    if metadata.len() > limit || content.len() as u64 > limit {
        return Ok(ReadFile::Large(metadata));
    }
    Ok(ReadFile::Whole(content, metadata))
}

/// The entry of a file. Where nothing changed it is the base's own: old repositories have modes that
/// git no longer writes.
fn with_mode(id: Oid, metadata: &Metadata, base: Option<Entry>) -> Entry {
    let executable = is_executable(metadata);
    match base {
        Some(base) if base.id == id && base.is_executable() == executable => base,
        _ => Entry {
            mode: if executable {
                MODE_EXECUTABLE
            } else {
                MODE_FILE
            },
            id,
        },
    }
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// A tree object. Git sorts a folder as if its name ended in a slash.
fn tree_content(tree: &NewTree) -> Vec<u8> {
    let mut entries: Vec<_> = tree
        .iter()
        .map(|(name, entry)| {
            let slash: &[u8] = if entry.is_folder() { b"/" } else { b"" };
            ([name, slash].concat(), name, entry)
        })
        .collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    let mut content = Vec::new();
    for (_, name, entry) in entries {
        content.extend_from_slice(format!("{:o} ", entry.mode).as_bytes());
        content.extend_from_slice(name);
        content.push(0);
        content.extend_from_slice(entry.id.as_bytes());
    }
    content
}
