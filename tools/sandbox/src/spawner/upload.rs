//! Sends the workspace to an inside that does not share it.
//!
//! An archive of our own rather than `tar`: a checkout holds folders, files and links only, and the
//! other side is ours as well, so that sizes and names need none of tar's dialects, nor its ways out
//! of the folder.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::framing::{self, FramingError};
use super::wire::{Entry, EntryKind, Frame, MAX_DATA_BYTES, Open};

/// How long the inside may take none of it.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Frames that are read ahead of the stream.
const READ_AHEAD: usize = 8;

/// Why the workspace is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the workspace could not be read: {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("the workspace could not be sent: {0}")]
    Send(#[from] FramingError),
    #[error("the workspace could not be sent: nothing was taken for {} s", STALL_TIMEOUT.as_secs())]
    Stalled,
}

/// Says what the sandbox is for, and sends `folder` if it is to be sent.
pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    open: Open,
    folder: Option<&Path>,
) -> Result<(), UploadError> {
    write(stream, Frame::Open(open)).await?;
    if let Some(folder) = folder {
        send_folder(stream, folder).await?;
    }
    write(stream, Frame::Uploaded).await
}

async fn send_folder(
    stream: &mut (impl AsyncWrite + Unpin),
    folder: &Path,
) -> Result<(), UploadError> {
    let (frames, mut read) = mpsc::channel(READ_AHEAD);
    let root = folder.to_owned();
    let reading = tokio::task::spawn_blocking(move || Walk { root, frames }.run());
    while let Some(frame) = read.recv().await {
        write(stream, frame).await?;
    }
    let read = reading.await;
    read.map_err(|error| unreadable(folder, io::Error::other(error)))?
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: Frame) -> Result<(), UploadError> {
    let written = timeout(STALL_TIMEOUT, framing::write(stream, &frame)).await;
    Ok(written.map_err(|_| UploadError::Stalled)??)
}

struct Walk {
    root: PathBuf,
    frames: mpsc::Sender<Frame>,
}

impl Walk {
    /// Folder by folder, and each before what it holds.
    fn run(&self) -> Result<(), UploadError> {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let read = |error| unreadable(&folder, error);
            for entry in fs::read_dir(self.root.join(&folder)).map_err(read)? {
                let path = folder.join(entry.map_err(read)?.file_name());
                let is_folder = self
                    .entry(&path)
                    .map_err(|error| unreadable(&path, error))?;
                if is_folder {
                    folders.push(path);
                }
            }
        }
        Ok(())
    }

    /// Sends an entry and says whether it is a folder.
    fn entry(&self, path: &Path) -> io::Result<bool> {
        let full = self.root.join(path);
        let found = full.symlink_metadata()?;
        let kind = found.file_type();
        if kind.is_dir() {
            self.send(path, EntryKind::Folder)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&full)?.as_os_str().as_bytes().to_vec();
            self.send(path, EntryKind::Link { target })?;
        } else if kind.is_file() {
            let (mode, size) = (found.permissions().mode() & 0o777, found.len());
            self.send(path, EntryKind::File { mode, size })?;
            self.chunks(&full, size)?;
        } else {
            let message = "it is neither a file, a folder nor a link";
            return Err(io::Error::other(message));
        }
        Ok(kind.is_dir())
    }

    fn chunks(&self, path: &Path, size: u64) -> io::Result<()> {
        let mut file = File::open(path)?.take(size);
        let mut sent = 0;
        while sent < size {
            let mut chunk = vec![0; MAX_DATA_BYTES];
            let count = file.read(&mut chunk)?;
            if count == 0 {
                let message = "it became shorter while it was read";
                return Err(io::Error::other(message));
            }
            chunk.truncate(count);
            sent += u64::try_from(count).unwrap_or(size);
            self.put(Frame::Chunk(chunk))?;
        }
        Ok(())
    }

    fn send(&self, path: &Path, kind: EntryKind) -> io::Result<()> {
        let path = path.as_os_str().as_bytes().to_vec();
        self.put(Frame::Entry(Entry { path, kind }))
    }

    fn put(&self, frame: Frame) -> io::Result<()> {
        let sent = self.frames.blocking_send(frame);
        sent.map_err(|_| io::Error::other("nobody takes it"))
    }
}

fn unreadable(path: &Path, source: io::Error) -> UploadError {
    UploadError::Read {
        path: path.display().to_string(),
        source,
    }
}
