//! What must not happen, and how it would be seen.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pullwright_core::source::Work;

use crate::lab::{Lab, git_with};

/// The content of the file outside.
const CANARY: &str = "canary-5f1c0a3e, which nobody reads\n";

/// A lab beside a program that must not run and a file that must not be read.
pub(super) struct Trap {
    pub(super) lab: Lab,
}

impl Trap {
    pub(super) fn new() -> Self {
        let lab = Lab::new();
        let program = lab.path("canary");
        let ran = lab.path("ran");
        let text = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\n", ran.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(lab.path("outside")).unwrap();
        std::fs::write(lab.path("outside/secret"), CANARY).unwrap();
        Self { lab }
    }

    /// The program, as a configuration names it.
    pub(super) fn program(&self) -> String {
        self.lab.path("canary").display().to_string()
    }

    /// The folder that nothing may read or write.
    pub(super) fn outside(&self) -> PathBuf {
        self.lab.path("outside")
    }

    /// The program works: what is not seen did not happen.
    pub(super) fn assert_armed(&self) {
        let started = std::process::Command::new(self.program()).status();
        assert!(started.unwrap().success());
        std::fs::remove_file(self.lab.path("ran")).unwrap();
    }

    /// Nothing ran, and nothing of the file outside came in.
    pub(super) fn assert_untouched(&self) {
        let ran = std::fs::read_to_string(self.lab.path("ran")).unwrap_or_default();
        assert_eq!(ran, "", "the program was started");
        let outside: Vec<_> = std::fs::read_dir(self.outside()).unwrap().collect();
        assert_eq!(outside.len(), 1, "something was written outside");
        let secret = std::fs::read_to_string(self.lab.path("outside/secret"));
        assert_eq!(secret.unwrap(), CANARY, "something was written outside");
        let id = git_with(
            &self.outside(),
            &["hash-object", "--stdin"],
            CANARY.as_bytes(),
        );
        let id = String::from_utf8(id).unwrap();
        self.assert_absent(&self.lab.data(), id.trim());
    }

    /// The same, and the work does not show it either.
    pub(super) fn assert_work_untouched(&self, work: &Work) {
        self.assert_untouched();
        let patch = String::from_utf8_lossy(&work.patch);
        let refusals = work.refusals.join("\n");
        for text in [&patch[..], &refusals] {
            assert!(!text.contains(CANARY.trim()), "{text}");
        }
    }

    /// Neither a file of it nor an object.
    fn assert_absent(&self, folder: &Path, id: &str) {
        if folder.join("HEAD").exists() && folder.join("objects").is_dir() {
            let found = std::process::Command::new("git")
                .args(["--git-dir".as_ref(), folder.as_os_str()])
                .args(["-c", "safe.directory=*", "cat-file", "-e", id])
                .stderr(std::process::Stdio::null())
                .status();
            assert!(!found.unwrap().success(), "{} has it", folder.display());
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.assert_absent(&entry.path(), id);
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains(CANARY.trim()), "{}", entry.path().display());
            }
        }
    }
}
