//! A tree of files as data: made for a test, and compared after it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// One thing to make, or to expect.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thing {
    text: Option<String>,
    base64: Option<String>,
    symlink: Option<String>,
    /// A file of this many bytes that takes no room on the disk.
    sparse: Option<u64>,
    #[serde(default)]
    fifo: bool,
    #[serde(default)]
    folder: bool,
    /// In octal.
    mode: Option<String>,
    /// Expected not to be there any more.
    #[serde(default)]
    pub(crate) absent: bool,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    kind: &'static str,
    /// A file's bytes, in a form that a failed test can show.
    content: String,
    mode: u32,
    modified: (i64, i64),
}

pub(crate) type Snapshot = BTreeMap<PathBuf, Found>;

impl Thing {
    pub(crate) fn make(&self, path: &Path, root: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = &self.symlink {
            symlink(target.replace("$ROOT", root.to_str().unwrap()), path).unwrap();
        } else if self.fifo {
            let made = std::process::Command::new("mkfifo")
                .arg(path)
                .status()
                .unwrap();
            assert!(made.success());
        } else if self.folder {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::write(path, self.bytes().unwrap_or_default()).unwrap();
        }
        if let Some(length) = self.sparse {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(length)
                .unwrap();
        }
        if let Some(mode) = self.mode() {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    /// What is expected at a path where `before` was.
    pub(crate) fn expected(&self, before: Option<&Found>) -> Expected {
        Expected {
            content: self.bytes().map(|bytes| show(&bytes)),
            mode: self.mode().or(before.map(|before| before.mode)),
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let decode = |text: &String| STANDARD.decode(text).unwrap();
        let text = self.text.as_ref().map(|text| text.clone().into_bytes());
        text.or_else(|| self.base64.as_ref().map(decode))
    }

    fn mode(&self) -> Option<u32> {
        self.mode
            .as_ref()
            .map(|mode| u32::from_str_radix(mode, 8).unwrap())
    }
}

/// A file as it should be after a test.
#[derive(Debug)]
pub(crate) struct Expected {
    content: Option<String>,
    mode: Option<u32>,
}

impl Expected {
    pub(crate) fn of_bytes(bytes: &[u8], before: Option<&Found>) -> Self {
        Self {
            content: Some(show(bytes)),
            mode: before.map(|before| before.mode),
        }
    }

    pub(crate) fn check(&self, path: &Path, found: Option<&Found>) {
        let found = found.unwrap_or_else(|| panic!("{} is missing", path.display()));
        if let Some(content) = &self.content {
            assert_eq!(content, &found.content, "the content of {}", path.display());
        }
        if let Some(mode) = self.mode {
            assert_eq!(
                format!("{mode:o}"),
                format!("{:o}", found.mode),
                "{}",
                path.display()
            );
        }
    }
}

/// Everything below `root`, folders included.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    collect(root, root, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Snapshot) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let (kind, content) = if meta.is_symlink() {
            (
                "symlink",
                fs::read_link(&path).unwrap().display().to_string(),
            )
        } else if meta.is_dir() {
            collect(root, &path, found);
            ("folder", String::new())
        } else if meta.is_file() && meta.len() < 4 * 1024 * 1024 {
            ("file", show(&fs::read(&path).unwrap()))
        } else {
            ("other", meta.len().to_string())
        };
        // A folder's time changes with the files in it, which are compared themselves.
        let modified = if meta.is_dir() {
            (0, 0)
        } else {
            (meta.mtime(), meta.mtime_nsec())
        };
        let mode = meta.permissions().mode() & 0o7777;
        let thing = Found {
            kind,
            content,
            mode,
            modified,
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), thing);
    }
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Copies a fixture folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The files of a fixture folder; none if there is no such folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}
