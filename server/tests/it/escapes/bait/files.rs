//! Files beside the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::escapes::stage::open_to;

/// A home with a secret, a file that everybody may change, and another run's workspace.
pub(super) struct Files {
    secret: PathBuf,
    public: PathBuf,
    other: PathBuf,
    before: BTreeMap<PathBuf, Seen>,
}

/// What is seen of a file, and its content.
#[derive(PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    links: u64,
    content: Vec<u8>,
}

impl Files {
    pub(super) fn lay(stage: &Path, secret: &str) -> Self {
        let folder = |name: &str, mode| {
            let path = stage.join(name);
            fs::create_dir(&path).unwrap();
            open_to(&path, mode);
            path
        };
        let file = |path: PathBuf, mode| {
            fs::write(&path, format!("{secret}\n")).unwrap();
            open_to(&path, mode);
            path
        };
        let home = folder("home", 0o700);
        let other = folder("other", 0o777);
        file(other.join("file"), 0o666);
        let mut files = Self {
            secret: file(home.join("secret"), 0o600),
            public: file(folder("open", 0o777).join("public"), 0o666),
            other,
            before: BTreeMap::new(),
        };
        files.before = files.look();
        files
    }

    pub(super) fn secret(&self) -> &Path {
        &self.secret
    }

    pub(super) fn names(&self) -> BTreeMap<&'static str, String> {
        let named = [
            ("secret", &self.secret),
            ("public", &self.public),
            ("other", &self.other),
        ];
        named
            .map(|(name, path)| (name, path.display().to_string()))
            .into()
    }

    pub(super) fn disturbed(&self) -> Option<String> {
        let now = self.look();
        let paths = self.before.keys().chain(now.keys());
        let mut changed = paths.filter(|path| self.before.get(*path) != now.get(*path));
        changed
            .next()
            .map(|path| format!("{} was changed", path.display()))
    }

    fn look(&self) -> BTreeMap<PathBuf, Seen> {
        let folders = [
            self.secret.parent(),
            self.public.parent(),
            Some(&*self.other),
        ];
        let entries = folders
            .into_iter()
            .flatten()
            .flat_map(|folder| fs::read_dir(folder).unwrap());
        entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), see(&path)))
            .collect()
    }
}

fn see(path: &Path) -> Seen {
    let found = fs::symlink_metadata(path).unwrap();
    Seen {
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        inode: found.ino(),
        links: found.nlink(),
        content: fs::read(path).unwrap_or_default(),
    }
}
