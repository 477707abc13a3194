//! Which sandboxes at Modal are ours, on this machine's disk.
//!
//! Each has a record for as long as it is there, and its server holds a lock on that. A record whose lock
//! is free is one of a server that died: the next one ends what it names, unless somebody goes on in it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};

/// The folder in the server's own.
const FOLDER: &str = "modal";

/// The records of one server's folder.
#[derive(Clone, Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

/// What a record says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ours {
    pub(super) run: RunId,
    pub(super) sandbox_id: String,
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

    /// Writes down that a sandbox is ours and holds that; a record of a server that died is taken over.
    /// Without one the sandbox is no worse, and where this server dies it ends by its timeout.
    pub(super) fn keep_or_warn(&self, run: &RunId, sandbox_id: &str) -> Option<Record> {
        let ours = Ours {
            run: run.clone(),
            sandbox_id: sandbox_id.to_owned(),
        };
        let kept = self.keep(&ours);
        kept.inspect_err(|error| {
            tracing::warn!(%error, "a sandbox at Modal cannot be written down; it ends by its timeout");
        })
        .ok()
    }

    fn keep(&self, ours: &Ours) -> io::Result<Record> {
        if !is_plain(&ours.sandbox_id) {
            let message = format!("`{}` is no id of a sandbox", ours.sandbox_id.escape_debug());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.json", ours.sandbox_id));
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
        file.write_all(&serde_json::to_vec(ours)?)?;
        file.sync_all()?;
        Ok(Record { path, _lock: file })
    }

    /// Those that nobody holds, each held from now on.
    pub(super) fn deserted(&self) -> Vec<(Ours, Record)> {
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

/// Whether a service's word can be a file's name.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !id.is_empty() && id.bytes().all(plain)
}

fn take_over(path: PathBuf) -> io::Result<Option<(Ours, Record)>> {
    let mut file = File::options().read(true).write(true).open(&path)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let record = Record { path, _lock: file };
    match serde_json::from_str(&text) {
        Ok(ours) => Ok(Some((ours, record))),
        // A server died while it wrote it; the sandbox ends by its timeout.
        Err(_) => {
            record.remove();
            Ok(None)
        }
    }
}
