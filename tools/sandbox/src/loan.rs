//! A folder of a person's that a sandbox works in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pullwright_core::sandbox::SandboxError;

use crate::handover::{check_folder, io_error, take_all};

/// What a folder was before a sandbox got it as its workspace. A run's checkout is thrown away
/// afterwards; a person's folder goes back to whom it belonged.
#[derive(Debug)]
pub struct Loan {
    folder: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

impl Loan {
    /// Notes whom `folder` belongs to.
    ///
    /// # Errors
    /// It is no folder.
    pub fn of(folder: &Path) -> Result<Self, SandboxError> {
        check_folder(folder).map_err(io_error("cannot work in", folder))?;
        let found = fs::metadata(folder).map_err(io_error("cannot look at", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            owner: (found.uid(), found.gid()),
            mode: found.mode() & 0o7777,
        })
    }

    /// Gives the folder and all in it to the folder's owner. To be called when the sandbox is closed,
    /// so that nothing is changed meanwhile.
    ///
    /// # Errors
    /// The system refuses.
    pub fn give_back(self) -> Result<(), SandboxError> {
        if rustix::process::geteuid().is_root() {
            take_all(&self.folder, self.owner)
                .map_err(io_error("cannot give back", &self.folder))?;
        }
        fs::set_permissions(&self.folder, Permissions::from_mode(self.mode))
            .map_err(io_error("cannot open again", &self.folder))
    }
}
