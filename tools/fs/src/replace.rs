//! Reading a file to change it, and putting the changed one in its place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use pullwright_tool_kit::{PathError, Place, Refusal};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;

/// Prevents an edit from taking the tool server's memory; also the most a file may grow to.
pub(crate) const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Names tried for the temporary file, should an earlier process have left one behind.
const MAX_NAME_TRIES: usize = 16;

/// A file as it was before the change.
#[derive(Debug)]
pub(crate) struct Original {
    pub(crate) bytes: Vec<u8>,
    stat: Stat,
}

impl Original {
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_raw_mode(self.stat.st_mode)
    }
}

/// Reads the file at `place`.
pub(crate) fn load(path: &str, place: &Place) -> Result<Result<Original, Refusal>, PathError> {
    let (file, stat) = place.open_file()?;
    if stat.st_mode & 0o222 == 0 {
        return Ok(Err(Refusal::new(format!(
            "`{path}` is read-only; if it is meant to be changed, run chmod u+w on it first"
        ))));
    }
    let mut bytes = Vec::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
        Ok(read) if read as u64 > MAX_FILE_BYTES => Ok(Err(too_large(path))),
        Ok(_) => Ok(Ok(Original { bytes, stat })),
        Err(error) => Ok(Err(Refusal::new(format!("cannot read `{path}`: {error}")))),
    }
}

/// The refusal for a file beyond [`MAX_FILE_BYTES`].
pub(crate) fn too_large(path: &str) -> Refusal {
    Refusal::new(format!(
        "`{path}` is or would become larger than {} MiB, the most the file tools change; use a shell command",
        MAX_FILE_BYTES / 1024 / 1024
    ))
}

/// Puts a file with these bytes at `place`, in one step: a reader sees the old or the new one. It
/// keeps the mode and owner of the original; without one, nothing may be there yet.
///
/// A file with several hard links becomes one of its own: its other names may be outside the
/// workspace.
pub(crate) fn replace(
    path: &str,
    place: &Place,
    original: Option<&Original>,
    bytes: &[u8],
) -> Result<(), Refusal> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large(path));
    }
    let failed = |error: io::Error| Refusal::new(format!("cannot write `{path}`: {error}"));
    let mut temp = TempFile::create(place, original).map_err(failed)?;
    temp.file.write_all(bytes).map_err(failed)?;
    let renamed = match original {
        Some(original) if !is_unchanged(place, original) => return Err(changed(path)),
        Some(original) => temp
            .take_over(&original.stat)
            .and_then(|()| temp.rename(RenameFlags::empty())),
        None => temp.rename_to_nothing(),
    };
    renamed.map_err(|error| match error {
        Errno::EXIST => changed(path),
        error => failed(error.into()),
    })
}

fn changed(path: &str) -> Refusal {
    Refusal::new(format!(
        "`{path}` was changed by someone else in this moment; read it again"
    ))
}

/// Other processes know nothing of our locks, so this is seen, not prevented.
fn is_unchanged(place: &Place, original: &Original) -> bool {
    let was = &original.stat;
    place.stat().is_ok_and(|now| {
        (now.st_dev, now.st_ino, now.st_size) == (was.st_dev, was.st_ino, was.st_size)
            && (now.st_mtime, now.st_mtime_nsec) == (was.st_mtime, was.st_mtime_nsec)
    })
}

/// A file beside the one it is to become; gone again unless renamed.
struct TempFile<'a> {
    file: File,
    name: Option<String>,
    place: &'a Place,
}

impl<'a> TempFile<'a> {
    /// A new file gets the usual mode; one that replaces another is private until it has its mode.
    fn create(place: &'a Place, original: Option<&Original>) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(if original.is_some() { 0o600 } else { 0o666 });
        for _ in 0..MAX_NAME_TRIES {
            let name = temp_name();
            match open_new(place, &name, mode) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
                Ok(file) => {
                    return Ok(Self {
                        file: file.into(),
                        name: Some(name),
                        place,
                    });
                }
            }
        }
        Err(io::Error::other("no name is free for a temporary file"))
    }

    fn take_over(&self, was: &Stat) -> Result<(), Errno> {
        let now = rustix::fs::fstat(&self.file)?;
        if (now.st_uid, now.st_gid) != (was.st_uid, was.st_gid) {
            let (owner, group) = (Uid::from_raw(was.st_uid), Gid::from_raw(was.st_gid));
            // Only root may give files away; for anyone else the new file is simply theirs.
            let _ = rustix::fs::fchown(&self.file, Some(owner), Some(group));
        }
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(was.st_mode))
    }

    fn rename(&mut self, flags: RenameFlags) -> Result<(), Errno> {
        let Some(name) = &self.name else {
            return Ok(());
        };
        let (dir, to) = (self.place.dir(), self.place.name());
        if flags.is_empty() {
            rustix::fs::renameat(dir, name, dir, to)?;
        } else {
            rustix::fs::renameat_with(dir, name, dir, to, flags)?;
        }
        self.name = None;
        Ok(())
    }

    fn rename_to_nothing(&mut self) -> Result<(), Errno> {
        match self.rename(RenameFlags::NOREPLACE) {
            // Some file systems cannot promise it; there the lock must do.
            Err(Errno::INVAL | Errno::NOSYS) if self.place.stat().is_err() => {
                self.rename(RenameFlags::empty())
            }
            done => done,
        }
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = rustix::fs::unlinkat(self.place.dir(), name, AtFlags::empty());
        }
    }
}

fn temp_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".pullwright-{}-{count}.tmp", std::process::id())
}

fn open_new(place: &Place, name: &str, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(place.dir(), name, flags, mode)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pullwright_tool_kit::Workspace;

    use super::*;

    #[test]
    fn a_change_by_another_process_is_not_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a");
        fs::write(&path, "old").unwrap();
        let place = Workspace::new(temp.path().to_owned()).locate("a").unwrap();
        let original = load("a", &place).unwrap().unwrap();
        fs::write(&path, "someone else's").unwrap();
        let refusal = replace("a", &place, Some(&original), b"ours").unwrap_err();
        assert!(refusal.0.contains("changed by someone else"), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "someone else's");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a");
        let place = Workspace::new(temp.path().to_owned()).locate("a").unwrap();
        fs::write(&path, "someone else's").unwrap();
        assert!(replace("a", &place, None, b"ours").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "someone else's");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_temporary_file_left_by_a_killed_process_is_in_nobodys_way() {
        let temp = tempfile::tempdir().unwrap();
        let stale = temp_name();
        let (head, count) = stale.trim_end_matches(".tmp").rsplit_once('-').unwrap();
        let count: u64 = count.parse().unwrap();
        for next in count..count + 8 {
            fs::write(temp.path().join(format!("{head}-{next}.tmp")), "stale").unwrap();
        }
        let place = Workspace::new(temp.path().to_owned()).locate("a").unwrap();
        replace("a", &place, None, b"new").unwrap();
        assert_eq!(fs::read(temp.path().join("a")).unwrap(), b"new");
    }
}
