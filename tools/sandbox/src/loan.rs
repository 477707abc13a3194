//! A folder of a person's that a sandbox works in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use pullwright_core::sandbox::SandboxError;

use crate::handover::{check_folder, io_error, take_back};
use crate::users;

/// What a folder was before a sandbox got it as its workspace. A run's checkout is thrown away
/// afterwards; a person's folder goes back to whom it belonged.
#[derive(Debug)]
pub struct Loan {
    folder: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

/// The mode of a folder whose own one is not known.
const USUAL_MODE: u32 = 0o755;

impl Loan {
    /// Notes whom `folder` belongs to. One that a killed server did not give back becomes this
    /// process's own.
    ///
    /// # Errors
    /// It is no folder.
    pub fn of(folder: &Path) -> Result<Self, SandboxError> {
        check_folder(folder).map_err(io_error("cannot work in", folder))?;
        let found = fs::metadata(folder).map_err(io_error("cannot look at", folder))?;
        let own = rustix::process::geteuid().as_raw();
        let (owner, mode) = match users::is_of_runs(found.uid()) && found.uid() != own {
            true => ((own, rustix::process::getegid().as_raw()), USUAL_MODE),
            false => ((found.uid(), found.gid()), found.mode() & 0o7777),
        };
        Ok(Self {
            folder: folder.to_owned(),
            owner,
            mode,
        })
    }

    /// Gives back the folder and what the sandbox's user has in it. To be called when the sandbox is
    /// closed, so that nothing is changed meanwhile.
    ///
    /// # Errors
    /// The system refuses.
    pub fn give_back(self) -> Result<(), SandboxError> {
        if rustix::process::geteuid().is_root() {
            let (user, group) = self.owner;
            take_back(&self.folder, self.owner)
                .and_then(|()| lchown(&self.folder, Some(user), Some(group)))
                .map_err(io_error("cannot give back", &self.folder))?;
        }
        fs::set_permissions(&self.folder, Permissions::from_mode(self.mode))
            .map_err(io_error("cannot open again", &self.folder))
    }
}
