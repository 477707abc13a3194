//! The host's folders of one case, with the baits in and beside them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::bait::Baits;
use super::case::Case;

/// Makes system calls by name or number and says how they ended.
const CALL: &str = include_str!("../../escapes/call.py");

pub(super) struct Stage {
    folder: TempDir,
    pub(super) workspace: PathBuf,
    /// Where the command line keeps its own folders.
    pub(super) temporary: PathBuf,
    pub(super) baits: Baits,
}

impl Stage {
    pub(super) fn new(case: &Case) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("escape-")
            .tempdir()
            .unwrap();
        open_to(folder.path(), 0o755);
        let made = |name: &str, mode| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            open_to(&path, mode);
            path
        };
        let workspace = made("workspace", 0o755);
        fs::write(workspace.join("call.py"), CALL).unwrap();
        let temporary = made("tmp", 0o711);
        let baits = Baits::lay(folder.path(), case);
        let stage = Self {
            folder,
            workspace,
            temporary,
            baits,
        };
        if let Some(script) = &case.plant {
            stage.plant(script);
        }
        stage
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A script with the names of baits and places filled in.
    pub(super) fn fill(&self, script: &str) -> String {
        let mut names = BTreeMap::from([
            ("stage", self.path().display().to_string()),
            ("host_workspace", self.workspace.display().to_string()),
            ("id", self.id()),
        ]);
        names.extend(self.baits.names());
        names
            .into_iter()
            .fold(script.to_owned(), |script, (name, value)| {
                script.replace(&format!("@{name}@"), &value)
            })
    }

    /// A name that nothing else on this machine has.
    pub(super) fn id(&self) -> String {
        self.path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    fn plant(&self, script: &str) {
        let planted = std::process::Command::new("bash")
            .args(["-ec", &self.fill(script)])
            .current_dir(&self.workspace)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&planted.stderr);
        assert!(planted.status.success(), "planting failed: {said}");
    }
}

pub(super) fn open_to(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
