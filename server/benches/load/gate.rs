//! Where runs wait for each other.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pipe that nobody writes to: to open it for reading takes until somebody has it open for writing.
pub(crate) struct Gate {
    path: PathBuf,
    held: OnceCell<File>,
}

impl Gate {
    /// Makes a gate in a folder that all sandboxes see.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success(), "mkfifo failed");
        // The sandbox's users come here too.
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Self {
            path,
            held: OnceCell::new(),
        }
    }

    /// What a run does to wait.
    pub(crate) fn command(&self) -> String {
        format!(": < {} && echo through", self.path.display())
    }

    /// Lets everybody through, those who come later too. With both ways open, opening waits for nobody.
    pub(crate) fn open(&self) {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        self.held.get_or_init(|| file.unwrap());
    }
}

/// The two gates of a row: before the work and after it.
pub(crate) struct Gates {
    pub(crate) folder: PathBuf,
    pub(crate) work: Gate,
    pub(crate) end: Gate,
}

impl Gates {
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.join("gates");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        Self {
            work: Gate::new(&folder, "work"),
            end: Gate::new(&folder, "end"),
            folder,
        }
    }
}
