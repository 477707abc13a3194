//! Where runs wait for each other.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pipe that nobody writes to: to open it for reading takes until somebody has it open for writing.
pub(crate) struct Gate {
    pub(crate) folder: PathBuf,
    held: OnceCell<File>,
}

impl Gate {
    pub(crate) fn new(folder: &Path) -> Self {
        let gate = Self {
            folder: folder.join("gate"),
            held: OnceCell::new(),
        };
        std::fs::create_dir(&gate.folder).unwrap();
        let made = Command::new("mkfifo").arg(gate.path()).status();
        assert!(made.unwrap().success(), "mkfifo failed");
        // The sandbox's users come here too.
        for (path, mode) in [(&gate.folder, 0o755), (&gate.path(), 0o644)] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        gate
    }

    /// What a run does to wait.
    pub(crate) fn command(&self) -> String {
        format!(": < {} && echo through", self.path().display())
    }

    /// Lets everybody through, those who come later too. With both ways open, opening waits for nobody.
    pub(crate) fn open(&self) {
        let file = OpenOptions::new().read(true).write(true).open(self.path());
        self.held.get_or_init(|| file.unwrap());
    }

    fn path(&self) -> PathBuf {
        self.folder.join("pipe")
    }
}
