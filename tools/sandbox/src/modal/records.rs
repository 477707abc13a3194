//! Which sandboxes at Modal are ours, on this machine's disk.
//!
//! Each has a record for as long as it is there, and its server holds a lock on that. A record whose lock
//! is free is one of a server that died: the next one ends what it names, unless somebody goes on in it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::sandbox::Handle;

/// The folder in the server's own.
const FOLDER: &str = "modal";

/// The records of one server's folder.
#[derive(Clone, Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

/// The record of one sandbox, held.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    _lock: File,
}

impl Records {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// Writes a record down and holds it; one of a server that died is taken over.
    pub(super) fn keep(&self, handle: &Handle) -> io::Result<Record> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.json", handle.sandbox_id));
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        file.try_lock()
            .map_err(|error| io::Error::other(format!("another server has it: {error}")))?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(handle)?)?;
        file.sync_all()?;
        Ok(Record { path, _lock: file })
    }

    /// Those that nobody holds, each held from now on.
    pub(super) fn deserted(&self) -> Vec<(Handle, Record)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| take_over(entry.path()).ok().flatten())
            .collect()
    }
}

impl Record {
    /// The sandbox is no more.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the record of a sandbox");
        }
    }
}

fn take_over(path: PathBuf) -> io::Result<Option<(Handle, Record)>> {
    let mut file = File::options().read(true).write(true).open(&path)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let record = Record { path, _lock: file };
    match serde_json::from_str(&text) {
        Ok(handle) => Ok(Some((handle, record))),
        // A server died while it wrote it; the sandbox ends by its timeout.
        Err(_) => {
            record.remove();
            Ok(None)
        }
    }
}
