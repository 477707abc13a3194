//! Puts a workspace back to its base after setup and baseline checks ran in it.

use std::ffi::OsStr;
use std::fs::{Permissions, create_dir, create_dir_all, remove_dir_all, remove_file};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::base::{Base, Entry, Folder, MAX_DEPTH, Node};
use crate::error::{WorkspaceError, io_error};
use crate::files::{Opened, below, is_executable, join, open_file, shown};
use crate::ignore_rules::{GITIGNORE, IgnoreRules};
use crate::snapshot::names_in;

/// An exclude file of more bytes is replaced, not extended: reading it could take all memory.
const MAX_EXCLUDE_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// More new paths than this are an error: they are no build leftovers but a wrong folder.
const MAX_EXCLUDED: usize = 100_000;

/// What was done. Paths are quoted like git quotes them where they are not plain text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleSummary {
    /// Files of the base that had been changed or removed, and are back.
    pub restored: Vec<String>,
    /// New files and folders that no longer count as part of the change.
    pub excluded: Vec<String>,
}

/// Restores the files of `base` (a commit or a tree) that commands changed or removed, and lists what they left behind
/// in `.git/info/exclude`, so that neither ends up in the change. Ignored files stay as they are.
///
/// # Errors
/// When the base cannot be read, or the workspace not be written. What was restored until then
/// stays restored, and settling again goes on.
pub fn settle(root: &Path, base: &str) -> Result<SettleSummary, WorkspaceError> {
    let git_dir = root.join(".git");
    let base = Base::read(&git_dir, base)?;
    let mut restore = Restore {
        root,
        base: &base,
        restored: Vec::new(),
    };
    restore.folder(b"", &base.root)?;
    let exclude = git_dir.join("info/exclude");
    let mut leftovers = Leftovers {
        root,
        rules: IgnoreRules::default(),
        found: Vec::new(),
    };
    leftovers.rules.enter(b"", &exclude);
    leftovers.collect(b"", &base.root)?;
    append_patterns(&exclude, &leftovers.found)?;
    Ok(SettleSummary {
        restored: restore.restored.iter().map(|path| shown(path)).collect(),
        excluded: leftovers
            .found
            .iter()
            .map(|found| shown(&found.path))
            .collect(),
    })
}

struct Restore<'a> {
    root: &'a Path,
    base: &'a Base,
    restored: Vec<Vec<u8>>,
}

impl Restore<'_> {
    fn folder(&mut self, path: &[u8], folder: &Folder) -> Result<(), WorkspaceError> {
        let on_disk = below(self.root, path);
        if !on_disk
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
        {
            clear(&on_disk)?;
            create_dir(&on_disk).map_err(io_error("make", &on_disk))?;
        }
        for (name, node) in folder {
            let path = join(path, name);
            match node {
                Node {
                    folder: Some(folder),
                    ..
                } => self.folder(&path, folder)?,
                Node { entry, .. } if entry.is_gitlink() => self.submodule(&path)?,
                Node { entry, .. } => self.file(path, *entry)?,
            }
        }
        Ok(())
    }

    /// Whatever is there is not ours to judge, but git takes nothing at all for its removal.
    fn submodule(&mut self, path: &[u8]) -> Result<(), WorkspaceError> {
        let on_disk = below(self.root, path);
        if on_disk.symlink_metadata().is_err() {
            create_dir(&on_disk).map_err(io_error("make", &on_disk))?;
        }
        Ok(())
    }

    fn file(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), WorkspaceError> {
        let on_disk = below(self.root, &path);
        if is_as(&on_disk, entry) {
            return Ok(());
        }
        let content = self.base.blob(entry.id)?;
        if entry.is_link() || is_folder(&on_disk) {
            clear(&on_disk)?;
        }
        let written = match entry.is_link() {
            true => symlink(OsStr::from_bytes(&content), &on_disk),
            false => write_file(&on_disk, &content, entry),
        };
        written.map_err(io_error("restore", &on_disk))?;
        self.restored.push(path);
        Ok(())
    }
}

/// Whether the file system holds the entry.
fn is_as(on_disk: &Path, entry: Entry) -> bool {
    if entry.is_link() {
        let target = on_disk
            .read_link()
            .map(|target| target.into_os_string().into_vec());
        return target.is_ok_and(|target| hash(&target) == Some(entry.id));
    }
    match open_file(on_disk) {
        Ok(Opened::Regular(_, metadata)) => {
            is_executable(&metadata) == entry.is_executable()
                && Oid::hash_file(ObjectType::Blob, on_disk).ok() == Some(entry.id)
        }
        _ => false,
    }
}

fn hash(content: &[u8]) -> Option<Oid> {
    Oid::hash_object(ObjectType::Blob, content).ok()
}

/// Removes whatever is at a path.
fn clear(on_disk: &Path) -> Result<(), WorkspaceError> {
    let removed = match on_disk.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => remove_dir_all(on_disk),
        Ok(_) => remove_file(on_disk),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(io_error("remove", on_disk))
}

/// Writes beside and renames, so that a reader sees the old file or the new one.
fn write_file(on_disk: &Path, content: &[u8], entry: Entry) -> io::Result<()> {
    let mode = if entry.is_executable() { 0o755 } else { 0o644 };
    let folder = on_disk.parent().unwrap_or(on_disk);
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.persist(on_disk).map_err(|error| error.error)?;
    Ok(())
}

/// Finds what is neither in the base nor ignored.
struct Leftovers<'a> {
    root: &'a Path,
    rules: IgnoreRules,
    found: Vec<Leftover>,
}

struct Leftover {
    path: Vec<u8>,
    is_folder: bool,
}

impl Leftovers<'_> {
    fn collect(&mut self, path: &[u8], base: &Folder) -> Result<(), WorkspaceError> {
        let on_disk = below(self.root, path);
        let names = names_in(&on_disk).map_err(io_error("list", &on_disk))?;
        self.rules.enter(path, &on_disk.join(GITIGNORE));
        for name in names.into_iter().filter(|name| name != b".git") {
            let path = join(path, &name);
            match base.get(&name) {
                Some(Node {
                    folder: Some(folder),
                    ..
                }) => self.collect(&path, folder)?,
                Some(_) => {}
                None => self.add_if_new(path)?,
            }
        }
        self.rules.leave();
        Ok(())
    }

    fn add_if_new(&mut self, path: Vec<u8>) -> Result<(), WorkspaceError> {
        let is_folder = is_folder(&below(self.root, &path));
        if self.counts(&path, is_folder, 0) {
            self.found.push(Leftover { path, is_folder });
        }
        if self.found.len() > MAX_EXCLUDED {
            let path = shown(&self.found[MAX_EXCLUDED].path);
            return Err(WorkspaceError::TooManyFiles {
                path,
                limit: MAX_EXCLUDED,
            });
        }
        Ok(())
    }

    /// Whether the path, or any file below it, would be part of a change.
    fn counts(&mut self, path: &[u8], is_dir: bool, depth: usize) -> bool {
        if self.rules.ignores(path, is_dir) {
            return false;
        }
        // Deeper than this the export refuses, so the whole folder is better excluded.
        if !is_dir || depth > MAX_DEPTH {
            return true;
        }
        let on_disk = below(self.root, path);
        let Ok(names) = names_in(&on_disk) else {
            return true;
        };
        self.rules.enter(path, &on_disk.join(GITIGNORE));
        let counts = names.iter().filter(|name| *name != b".git").any(|name| {
            let path = join(path, name);
            let is_dir = is_folder(&below(self.root, &path));
            self.counts(&path, is_dir, depth + 1)
        });
        self.rules.leave();
        counts
    }
}

fn is_folder(on_disk: &Path) -> bool {
    on_disk
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
}

fn append_patterns(exclude: &Path, found: &[Leftover]) -> Result<(), WorkspaceError> {
    if found.is_empty() {
        return Ok(());
    }
    let mut text = read_exclude(exclude);
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    for leftover in found {
        text.extend(pattern(leftover));
    }
    replace(exclude, &text).map_err(io_error("write", exclude))
}

fn read_exclude(exclude: &Path) -> Vec<u8> {
    match open_file(exclude) {
        Ok(Opened::Regular(mut file, metadata)) if metadata.len() <= MAX_EXCLUDE_FILE_BYTES => {
            let mut text = Vec::new();
            match file.read_to_end(&mut text) {
                Ok(_) => text,
                Err(_) => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// Writes a new file in place of whatever is there, links included.
fn replace(exclude: &Path, text: &[u8]) -> io::Result<()> {
    let folder: PathBuf = exclude.parent().unwrap_or(exclude).to_owned();
    create_dir_all(&folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(exclude).map_err(|error| error.error)?;
    Ok(())
}

/// An anchored pattern that matches the path. A line cannot hold a line end: `?` stands for it.
fn pattern(leftover: &Leftover) -> Vec<u8> {
    let mut line = b"/".to_vec();
    for byte in &leftover.path {
        match byte {
            b'\n' | b'\r' | 0 => line.push(b'?'),
            b'*' | b'?' | b'[' | b'\\' | b' ' => line.extend([b'\\', *byte]),
            _ => line.push(*byte),
        }
    }
    if leftover.is_folder {
        line.push(b'/');
    }
    line.push(b'\n');
    line
}
