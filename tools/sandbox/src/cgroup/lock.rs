//! Who owns a group: whoever has the lock on its file, which lists the group's folders.
//!
//! The file is there before the first folder and until after the last one, so that no folder is
//! ever without an owner to ask for.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than the paths of a group in every hierarchy; a longer record is not one.
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// How often a file may be removed by its owner between being opened and being locked. More often
/// than that, somebody plays with it.
const MAX_TRIES: u32 = 100;

/// A sweep holds the lock of what it looks at, which may be a file that its owner has just made.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// The lock on a group. Dropping it leaves the record, for a sweep to find.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock on `name`, unless somebody else has it.
    pub(super) fn take(locks: &Path, name: &str) -> io::Result<Option<Self>> {
        prepare(locks)?;
        let path = locks.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        for _ in 0..MAX_TRIES {
            match lock(options.open(&path)?, &path, SWEEP_TIMEOUT)? {
                Locked::Ours(lock) => return Ok(Some(lock)),
                Locked::Taken => return Ok(None),
                Locked::Removed => {}
            }
        }
        Err(io::Error::other("it is removed again and again"))
    }

    /// Takes the lock on an existing file, unless somebody else has it or it has gone meanwhile.
    pub(super) fn take_existing(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock(file, path, Duration::ZERO)? {
            Locked::Ours(lock) => Ok(Some(lock)),
            Locked::Taken | Locked::Removed => Ok(None),
        }
    }

    /// Notes the folders of the group.
    pub(super) fn record(&self, folders: &[PathBuf]) -> io::Result<()> {
        let mut record = Vec::new();
        for folder in folders {
            record.extend_from_slice(folder.as_os_str().as_bytes());
            record.push(b'\n');
        }
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&record)
    }

    /// The folders that this owner, or the one before, has noted.
    pub(super) fn recorded(&self) -> io::Result<Vec<PathBuf>> {
        let mut record = Vec::new();
        let mut file = &self.file;
        file.rewind()?;
        file.take(MAX_RECORD_BYTES).read_to_end(&mut record)?;
        let lines = record.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        Ok(lines
            .map(|line| PathBuf::from(OsStr::from_bytes(line)))
            .collect())
    }

    /// Removes the file: the group has no folder any more.
    pub(super) fn forget(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a process that is just being started holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(lock = %self.path.display(), %error, "cannot give back a cgroup");
        }
    }
}

enum Locked {
    Ours(Lock),
    Taken,
    /// The file has no name any more, so that its lock keeps nobody out.
    Removed,
}

/// Waits for the lock no longer than `timeout`.
fn lock(file: File, path: &Path, timeout: Duration) -> io::Result<Locked> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if start.elapsed() >= timeout => {
                return Ok(Locked::Taken);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let lock = Lock {
        file,
        path: path.to_owned(),
    };
    let ours = lock.file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => {
            Ok(Locked::Ours(lock))
        }
        Ok(_) => Ok(Locked::Removed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Locked::Removed),
        Err(error) => Err(error),
    }
}

/// Makes the folder of locks, which nobody else may write: its files say what is killed.
fn prepare(locks: &Path) -> io::Result<()> {
    if !locks.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(locks)?;
    }
    check(locks)
}

/// Whether the folder of locks is what it should be.
pub(super) fn check(locks: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(locks)?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
        let message = format!(
            "the folder of locks {} is open to other users; remove it",
            locks.display()
        );
        return Err(io::Error::other(message));
    }
    Ok(())
}
