//! `plugins.lock`: the accepted definitions of tools, beside the configuration.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pullwright_core::tools::{
    Approval, ApprovalError, ToolChange, ToolDefinition as Tool, ToolLock, Withheld,
    with_hidden_characters,
};
use serde::{Deserialize, Serialize};

/// How long to wait for another process that writes the file.
const LOCK_LIMIT: Duration = Duration::from_secs(2);

/// How often it is tried meanwhile.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// A longer file is not one of ours, and would fill the memory: in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What the file says of itself.
const ABOUT: &str = "The tool definitions that were accepted; one that changes is not offered to a model. \
    Keep this file in version control. `pullwright tools accept NAME` changes it.";

/// The definitions that were accepted.
pub struct LockFile {
    /// Nothing where there is no configuration file: then they are only remembered.
    path: Option<PathBuf>,
    known: Mutex<ToolLock>,
}

/// The file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "_", default)]
    about: String,
    tools: ToolLock,
}

impl LockFile {
    /// The one beside the configuration in `config`; in memory only without one.
    #[must_use]
    pub fn beside(config: Option<&Path>) -> Self {
        Self {
            path: config.map(|config| config.with_extension("lock")),
            known: Mutex::default(),
        }
    }

    /// How what `server` lists differs from what was accepted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes(&self, server: &str, definitions: &[Tool]) -> io::Result<Vec<ToolChange>> {
        Ok(self.read()?.changes(server, definitions))
    }

    /// Accepts what `server` lists.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn accept(&self, server: &str, definitions: &[Tool]) -> io::Result<()> {
        let Some(path) = &self.path else {
            self.known().record(server, definitions);
            return Ok(());
        };
        let _only = only_writer(path)?;
        let mut lock = self.read()?;
        lock.record(server, definitions);
        write(path, &lock)
    }

    fn read(&self) -> io::Result<ToolLock> {
        match &self.path {
            Some(path) => read(path),
            None => Ok(self.known().clone()),
        }
    }

    fn known(&self) -> MutexGuard<'_, ToolLock> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Approval for LockFile {
    /// A server that is seen for the first time is accepted as it is.
    fn review(&self, server: &str, definitions: &[Tool]) -> Result<Vec<Withheld>, ApprovalError> {
        let failed = |what: &str, error: io::Error| {
            let path = self.path.as_deref().unwrap_or(Path::new("plugins.lock"));
            ApprovalError(format!(
                "{} cannot be {what}, so nobody knows which tools of `{server}` were accepted: {error}",
                path.display()
            ))
        };
        let mut withheld = with_hidden_characters(definitions);
        let lock = self.read().map_err(|error| failed("read", error))?;
        if lock.knows(server) {
            let changed = lock.withheld(server, definitions).into_iter();
            let is_new = |one: &Withheld| withheld.iter().all(|known| known.tool != one.tool);
            let changed: Vec<Withheld> = changed.filter(is_new).collect();
            withheld.extend(changed);
        } else {
            self.accept(server, definitions)
                .map_err(|error| failed("written", error))?;
        }
        Ok(withheld)
    }
}

fn read(path: &Path) -> io::Result<ToolLock> {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ToolLock::default()),
        Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
            return Err(io::Error::other(format!(
                "it has more than {MAX_FILE_BYTES} bytes"
            )));
        }
        _ => std::fs::read_to_string(path)?,
    };
    let document: Document = serde_json::from_str(&text).map_err(|error| {
        io::Error::other(format!("it is broken ({error}); restore it from version control, or remove it to accept everything anew"))
    })?;
    Ok(document.tools)
}

/// Whole or not at all.
fn write(path: &Path, lock: &ToolLock) -> io::Result<()> {
    let document = Document {
        about: ABOUT.to_owned(),
        tools: lock.clone(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Two servers may use one configuration, so the folder is locked while the file is read and written.
fn only_writer(path: &Path) -> io::Result<File> {
    let folder = File::open(folder_of(path))?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other(
                    "another process has been writing it for 2 s",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
