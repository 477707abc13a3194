//! The folders of a run, and who may enter them.

use std::path::{Path, PathBuf};

use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;

use super::KIND;
use crate::handover::{
    check_folder, closed_folder, folder_name, io_error, make_private, open_way, remove_own,
    take_top,
};

/// Where programs are, where the server has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The folders of one run.
#[derive(Clone)]
pub(super) struct Folders {
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
    /// Holds the last two.
    own: PathBuf,
    separate: bool,
}

/// Where programs are looked for inside.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) path: String,
    /// Folders of the server's own `PATH` that the sandbox's users cannot enter.
    pub(super) unreachable: Vec<String>,
    /// Where rustup keeps its toolchains, if they can be reached: its `cargo` and `rustc` find
    /// nothing by a run's own empty home.
    pub(super) rustup_home: Option<PathBuf>,
}

impl Search {
    pub(super) fn new(separate: bool) -> Self {
        let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
        let folders = path.split(':').filter(|folder| Path::new(folder).is_dir());
        let absolute = folders.filter(|folder| folder.starts_with('/'));
        let (unreachable, reachable): (Vec<_>, Vec<_>) =
            absolute.partition(|folder| separate && closed_folder(Path::new(folder)).is_some());
        Self {
            path: reachable.join(":"),
            unreachable: unreachable.into_iter().map(ToOwned::to_owned).collect(),
            rustup_home: rustup_home()
                .filter(|folder| !(separate && closed_folder(folder).is_some())),
        }
    }
}

fn rustup_home() -> Option<PathBuf> {
    let named = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".rustup"));
    named.or_else(usual).filter(|folder| folder.is_dir())
}

impl Folders {
    /// Makes the run's own folders, and lets its user in.
    pub(super) fn prepare(
        data_dir: &Path,
        run: &RunId,
        workspace: &Path,
        user: Option<u32>,
    ) -> Result<Self, SandboxError> {
        check_folder(workspace).map_err(io_error("cannot use the checkout", workspace))?;
        let own = data_dir.join(KIND).join(folder_name(KIND, run)?);
        let folders = Self {
            workspace: workspace.to_owned(),
            home: own.join("home"),
            tmp: own.join("tmp"),
            own,
            separate: user.is_some(),
        };
        for folder in [&folders.home, &folders.tmp] {
            make_private(folder, user).map_err(io_error("cannot make the folder", folder))?;
        }
        if let Some(user) = user {
            take_top(workspace, user).map_err(io_error("cannot hand over", workspace))?;
            for folder in [workspace, &folders.home] {
                let parent = folder.parent().unwrap_or(folder);
                open_way(KIND, parent, data_dir)?;
            }
        }
        Ok(folders)
    }

    /// Removes the run's own folders and closes its workspace to the user, whom a later run gets.
    pub(super) fn give_back(&self) -> Result<(), SandboxError> {
        remove_own(&self.own)?;
        if self.separate && self.workspace.symlink_metadata().is_ok() {
            let own = rustix::process::geteuid().as_raw();
            take_top(&self.workspace, own)
                .map_err(io_error("cannot take back", &self.workspace))?;
        }
        Ok(())
    }
}
