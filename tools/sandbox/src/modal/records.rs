//! Which sandboxes at Modal are ours, on this machine's disk.
//!
//! Each has a record from before Modal is asked for it until it is gone, and its server holds a lock on
//! that. A record whose lock is free is one of a server that died: the next one ends what it tells of,
//! unless somebody goes on in it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pullwright_protocol::RunId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ModalError;

/// The folder in the server's own.
const FOLDER: &str = "modal";

/// What records end with; what has another end is being written.
const EXTENSION: &str = "json";

/// The records of one server's folder.
#[derive(Clone, Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

/// What a record says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) run: RunId,
    /// Absent until Modal has answered.
    pub(super) sandbox_id: Option<String>,
}

/// The record of one sandbox, held.
#[derive(Debug)]
pub(super) struct Record {
    folder: PathBuf,
    name: String,
    lock: File,
}

impl Records {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// Writes down that a sandbox is about to be made, and holds that. Without a record the sandbox is no
    /// worse, and where this server dies it ends by its timeout.
    pub(super) fn announce_or_warn(&self, run: &RunId) -> Option<Record> {
        let note = Note {
            run: run.clone(),
            sandbox_id: None,
        };
        let name = Uuid::new_v4().to_string();
        warned(Record::write(self.folder.clone(), name, &note))
    }

    /// Holds the record of a server that died, and writes it anew where it is gone.
    pub(super) fn take_over(&self, name: &str, note: &Note) -> Result<Option<Record>, ModalError> {
        // It becomes a file's name.
        let Ok(name) = Uuid::try_parse(name) else {
            return Ok(None);
        };
        let name = name.to_string();
        match hold(&self.folder, &name) {
            Ok(Some((_, record))) => Ok(Some(record)),
            Ok(None) => Err(ModalError::Ended("another server has it".to_owned())),
            Err(_) => Ok(warned(Record::write(self.folder.clone(), name, note))),
        }
    }

    /// Those that nobody holds, each held from now on.
    pub(super) fn deserted(&self) -> impl Iterator<Item = (Note, Record)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let is_record = path.extension().is_some_and(|end| end == EXTENSION);
            let name = path.file_stem().filter(|_| is_record)?;
            name.to_str().map(str::to_owned)
        });
        let folder = self.folder.clone();
        names.filter_map(move |name| {
            let held = hold(&folder, &name);
            let held = held.inspect_err(|error| {
                tracing::warn!(%error, name, "the record of a sandbox at Modal cannot be read");
            });
            held.ok().flatten()
        })
    }
}

impl Record {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long ago it was written.
    pub(super) fn age(&self) -> Duration {
        let written = self.lock.metadata().and_then(|file| file.modified());
        let age = written.ok().and_then(|time| time.elapsed().ok());
        age.unwrap_or_default()
    }

    /// Writes down which sandbox it is.
    pub(super) fn name_sandbox(&mut self, run: &RunId, sandbox_id: &str) {
        let note = Note {
            run: run.clone(),
            sandbox_id: Some(sandbox_id.to_owned()),
        };
        // Without, it is found by what is written on the sandbox.
        if let Some(record) = warned(Self::write(self.folder.clone(), self.name.clone(), &note)) {
            *self = record;
        }
    }

    /// The sandbox is no more.
    pub(super) fn remove(self) {
        let path = file(&self.folder, &self.name);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, path = %path.display(), "cannot remove the record of a sandbox");
        }
    }

    /// A record that has its name only when it is whole and held.
    fn write(folder: PathBuf, name: String, note: &Note) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut written = tempfile::NamedTempFile::new_in(&folder)?;
        written.as_file().lock()?;
        written.write_all(&serde_json::to_vec(note)?)?;
        written.as_file().sync_all()?;
        let lock = written.persist(file(&folder, &name))?;
        Ok(Self { folder, name, lock })
    }
}

impl Drop for Record {
    /// Closing the file is not enough: a process that is just being started holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, name = self.name, "the record of a sandbox stays held");
        }
    }
}

fn warned(written: io::Result<Record>) -> Option<Record> {
    let written = written.inspect_err(|error| {
        tracing::warn!(%error, "a sandbox at Modal cannot be written down; it ends by its timeout");
    });
    written.ok()
}

/// A record that nobody holds, held; nothing where somebody does.
fn hold(folder: &Path, name: &str) -> io::Result<Option<(Note, Record)>> {
    let path = file(folder, name);
    let mut found = File::open(&path)?;
    // It may have been replaced by another of the same name, or removed, before it was held.
    if found.try_lock().is_err() || !is_at(&found, &path)? {
        return Ok(None);
    }
    let mut text = String::new();
    found.read_to_string(&mut text)?;
    let record = Record {
        folder: folder.to_owned(),
        name: name.to_owned(),
        lock: found,
    };
    Ok(Some((serde_json::from_str(&text)?, record)))
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, named) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino()))
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}
