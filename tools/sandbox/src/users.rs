//! A user for each run.
//!
//! Users are numbers without an account. A lock file for each number keeps two runs, of one server
//! or of several, from sharing it. The file also names the workspace that the user owns, so that a
//! number whose server crashed is not given to a stranger while that workspace is there.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use pullwright_core::sandbox::SandboxError;

use crate::handover::io_error;
use crate::sweep;

/// Numbers far above those of accounts.
const USERS: Range<u32> = 400_000..404_096;

/// One folder for every server of the machine, whatever its data folder.
const LOCKS: &str = "/run/pullwright/users";

/// Longer than any path; a longer record is not one.
const MAX_RECORD_BYTES: u64 = 8192;

/// The record of a user who owns nothing and runs nothing. It is no absolute path, as a workspace is.
const GIVEN_BACK: &[u8] = b"given back";

/// Whether this is a user of runs, of this server or another.
pub(crate) fn is_of_runs(uid: u32) -> bool {
    USERS.contains(&uid)
}

/// A user that this run alone has, for as long as this lives.
pub(crate) struct Slot {
    uid: u32,
    /// Holds the lock.
    file: File,
}

impl Slot {
    /// Takes a user that nobody has.
    pub(crate) fn free(kind: &'static str, workspace: &Path) -> Result<Self, SandboxError> {
        for uid in USERS {
            if let Some(slot) = Self::lock(uid)?
                && slot.is_free()
            {
                slot.record(workspace.as_os_str().as_bytes())
                    .map_err(io_error("cannot record", workspace))?;
                return Ok(slot);
            }
        }
        Err(SandboxError::Refused {
            kind,
            reason: format!("each of the {} users for runs is taken", USERS.len()),
            remedy: format!("end runs, or remove the files of ended ones in {LOCKS}"),
        })
    }

    /// Takes the user of an earlier run again.
    pub(crate) fn again(
        kind: &'static str,
        uid: u32,
        workspace: &Path,
    ) -> Result<Self, SandboxError> {
        let lost = |reason| SandboxError::Lost { kind, reason };
        if !USERS.contains(&uid) {
            return Err(lost(format!("user {uid} is not one of runs")));
        }
        let slot = Self::lock(uid)?
            .ok_or_else(|| lost(format!("its user {uid} belongs to another run now")))?;
        let owner = workspace.symlink_metadata().map(|found| found.uid());
        let owner = owner.map_err(io_error("cannot look at", workspace))?;
        if owner != uid {
            // Closing took the workspace back, and others may have had the user since.
            return Err(lost(format!(
                "it was closed: {} is no longer its user's",
                workspace.display()
            )));
        }
        slot.record(workspace.as_os_str().as_bytes())
            .map_err(io_error("cannot record", workspace))?;
        Ok(slot)
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Notes that the user owns nothing and runs nothing any more.
    pub(crate) fn forget(&self) -> Result<(), SandboxError> {
        self.record(GIVEN_BACK)
            .map_err(io_error("cannot give back a user in", Path::new(LOCKS)))
    }

    /// The lock on a user, unless somebody else has it.
    fn lock(uid: u32) -> Result<Option<Self>, SandboxError> {
        let path = Path::new(LOCKS).join(uid.to_string());
        let failed = io_error("cannot lock", &path);
        match open(&path).and_then(|file| try_lock(&file).map(|locked| (locked, file))) {
            Ok((true, file)) => Ok(Some(Self { uid, file })),
            Ok((false, _)) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the user has neither a workspace nor a process of a crashed server. Only of one who was
    /// not given back do we look through all processes, which takes long where there are many.
    fn is_free(&self) -> bool {
        let Ok(record) = self.recorded() else {
            return false;
        };
        if record == GIVEN_BACK {
            return true;
        }
        let owner = Path::new(OsStr::from_bytes(&record)).symlink_metadata();
        let owns = owner.is_ok_and(|found| found.uid() == self.uid);
        !owns && !sweep::is_running(self.uid)
    }

    fn recorded(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn record(&self, record: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(record)
    }
}

impl Drop for Slot {
    /// Closing the file is not enough: a process that is just being started holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(uid = self.uid, %error, "cannot give back the user of a run");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if !Path::new(LOCKS).is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(LOCKS)?;
    }
    let found = fs::symlink_metadata(LOCKS)?;
    if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
        let message = "the folder of locks is open to other users; remove it";
        return Err(io::Error::other(message));
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}
