//! The host's folders of one run.

use std::path::{Path, PathBuf};

use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;

use super::KIND;
use crate::handover::{check_folder, folder_name, io_error, make_private, remove_own, take_top};
use crate::users::Slot;

/// The workspace and the home of one run, and the user who owns them.
pub(super) struct Folders {
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    /// Holds the home.
    own: PathBuf,
    slot: Option<Slot>,
}

impl Folders {
    /// Makes the home. The workspace is the user's already.
    pub(super) fn prepare(
        data_dir: &Path,
        run: &RunId,
        workspace: &Path,
        slot: Option<Slot>,
    ) -> Result<Self, SandboxError> {
        check_folder(workspace).map_err(io_error("cannot use the checkout", workspace))?;
        let own = data_dir.join(KIND).join(folder_name(KIND, run)?);
        let home = own.join("home");
        let user = slot.as_ref().map(Slot::uid);
        make_private(&home, user).map_err(io_error("cannot make the folder", &home))?;
        if let Some(user) = user {
            take_top(workspace, user).map_err(io_error("cannot hand over", workspace))?;
        }
        Ok(Self {
            workspace: workspace.to_owned(),
            home,
            own,
            slot,
        })
    }

    pub(super) fn uid(&self) -> Option<u32> {
        self.slot.as_ref().map(Slot::uid)
    }

    /// Removes the home, closes the workspace to the user and gives the user to a later run. To be
    /// called when nothing runs as that user any more.
    pub(super) fn give_back(&self) -> Result<(), SandboxError> {
        self.take_back()?;
        self.slot.as_ref().map_or(Ok(()), Slot::forget)
    }

    /// Removes the home and closes the workspace to the user, of whom a process may be left: a later
    /// run gets them only after a look.
    pub(super) fn take_back(&self) -> Result<(), SandboxError> {
        remove_own(&self.own)?;
        if self.slot.is_some() && self.workspace.symlink_metadata().is_ok() {
            let own = rustix::process::geteuid().as_raw();
            take_top(&self.workspace, own)
                .map_err(io_error("cannot take back", &self.workspace))?;
        }
        Ok(())
    }
}
