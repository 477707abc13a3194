//! Writes the workspace that the host sends.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use tokio::sync::mpsc;

use super::stdio::Heard;
use super::{SpawnerError, next};
use crate::spawner::wire::{Entry, EntryKind, Frame};

/// The owner can always look and write into a folder, or nothing could be put there.
const FOLDER_MODE: u32 = 0o755;

/// Takes entries until the host says that there are no more.
pub(super) async fn unpack(
    workspace: &Path,
    heard: &mut mpsc::Receiver<Heard>,
) -> Result<(), SpawnerError> {
    let mut unpacking = Unpacking {
        root: workspace,
        seen: HashSet::new(),
        file: None,
    };
    loop {
        match next(heard).await? {
            Frame::Entry(entry) => unpacking.entry(&entry)?,
            Frame::Chunk(bytes) => unpacking.chunk(&bytes)?,
            Frame::Uploaded => return unpacking.complete(),
            _ => return Err(host("a frame that is not part of an upload")),
        }
    }
}

/// Removes what an earlier spawner has left in the place of an entry. A folder may stay one.
fn make_room(path: &Path, kind: &EntryKind) -> io::Result<()> {
    let Ok(found) = path.symlink_metadata() else {
        return Ok(());
    };
    match (found.is_dir(), kind) {
        (true, EntryKind::Folder) => Ok(()),
        (true, _) => fs::remove_dir_all(path),
        (false, _) => fs::remove_file(path),
    }
}

struct Unpacking<'w> {
    root: &'w Path,
    /// What came so far: only what an earlier spawner left may be replaced.
    seen: HashSet<PathBuf>,
    file: Option<Receiving>,
}

/// A file that is not complete.
struct Receiving {
    file: File,
    path: PathBuf,
    left: u64,
}

impl Unpacking<'_> {
    fn entry(&mut self, entry: &Entry) -> Result<(), SpawnerError> {
        self.complete()?;
        let path = Path::new(OsStr::from_bytes(&entry.path));
        self.check(path)?;
        let full = self.root.join(path);
        if !self.seen.insert(path.to_owned()) {
            return Err(host("an entry a second time"));
        }
        make_room(&full, &entry.kind).map_err(|error| unwritable(path, error))?;
        let made = match &entry.kind {
            EntryKind::Folder if full.is_dir() => Ok(()),
            EntryKind::Folder => fs::DirBuilder::new().mode(FOLDER_MODE).create(&full),
            EntryKind::Link { target } => symlink(OsStr::from_bytes(target), &full),
            EntryKind::File { mode, size } => create(&full, *mode).map(|file| {
                self.file = (*size > 0).then_some(Receiving {
                    file,
                    path: path.to_owned(),
                    left: *size,
                });
            }),
        };
        made.map_err(|error| unwritable(path, error))
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), SpawnerError> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(receiving) = self.file.as_mut().filter(|file| count <= file.left) else {
            return Err(host("more of a file than there is"));
        };
        let written = receiving.file.write_all(bytes);
        written.map_err(|error| unwritable(&receiving.path, error))?;
        receiving.left -= count;
        if receiving.left == 0 {
            self.file = None;
        }
        Ok(())
    }

    fn complete(&self) -> Result<(), SpawnerError> {
        match self.file {
            Some(_) => Err(host("less of a file than there is")),
            None => Ok(()),
        }
    }

    /// A path stays in the workspace: plain names only, below folders that are no links. Nothing
    /// else writes here meanwhile.
    fn check(&self, path: &Path) -> Result<(), SpawnerError> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let is_plain = !path.as_os_str().is_empty() && path.components().all(plain);
        let parents = path
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty());
        let is_folder = |parent: &Path| {
            let found = self.root.join(parent).symlink_metadata();
            found.is_ok_and(|found| found.is_dir())
        };
        match is_plain && parents.into_iter().all(is_folder) {
            true => Ok(()),
            false => Err(host("a path that leaves the workspace")),
        }
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true);
    options.mode(mode & 0o777).open(path)
}

fn host(what: &str) -> SpawnerError {
    SpawnerError::Host(what.to_owned())
}

fn unwritable(path: &Path, source: io::Error) -> SpawnerError {
    SpawnerError::Io {
        what: format!("cannot write {} of the workspace", path.display()),
        source,
    }
}
