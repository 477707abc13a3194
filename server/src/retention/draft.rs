//! A compressed file that is written beside its place, and takes it once it is whole and durable.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use pullwright_protocol::LoggedEvent;
use tempfile::NamedTempFile;

use super::archive::{ArchiveError, failed};

/// How the name of a file begins that is being written.
pub(super) const TEMPORARY_PREFIX: &str = ".pullwright-draft-";

/// A file that is being written. Dropping it removes it.
pub(super) struct Draft {
    encoder: GzEncoder<NamedTempFile>,
}

impl Draft {
    pub(super) async fn begin(folder: &Path) -> Result<Self, ArchiveError> {
        let folder = folder.to_owned();
        in_background(move || {
            let mut builder = tempfile::Builder::new();
            let file = builder.prefix(TEMPORARY_PREFIX).tempfile_in(&folder);
            let file = file.map_err(failed("written", &folder))?;
            let encoder = GzEncoder::new(file, Compression::default());
            Ok(Self { encoder })
        })
        .await
    }

    pub(super) async fn add(mut self, bytes: Vec<u8>) -> Result<Self, ArchiveError> {
        in_background(move || {
            let written = self.encoder.write_all(&bytes);
            written.map_err(failed("written", self.path()))?;
            Ok(self)
        })
        .await
    }

    /// Adds events, one a line.
    pub(super) async fn add_events(
        mut self,
        events: Vec<LoggedEvent>,
    ) -> Result<Self, ArchiveError> {
        in_background(move || {
            for event in events {
                let line = serde_json::to_writer(&mut self.encoder, &event);
                let written = line.map_err(std::io::Error::from);
                let written = written.and_then(|()| self.encoder.write_all(b"\n"));
                written.map_err(failed("written", self.path()))?;
            }
            Ok(self)
        })
        .await
    }

    /// Takes the place at `path`, whatever was there.
    pub(super) async fn keep_as(self, path: PathBuf) -> Result<(), ArchiveError> {
        in_background(move || {
            let cannot_write = failed("written", &path);
            let file = self.encoder.finish().map_err(&cannot_write)?;
            file.as_file().sync_all().map_err(&cannot_write)?;
            let kept = file.persist(&path).map_err(|error| error.error);
            kept.map_err(&cannot_write)?;
            // The name must be as durable as what it stands for.
            let folder = path.parent().unwrap_or(Path::new("."));
            let folder = File::open(folder).and_then(|folder| folder.sync_all());
            folder.map_err(&cannot_write)
        })
        .await
    }

    fn path(&self) -> &Path {
        self.encoder.get_ref().path()
    }
}

/// Compressing and waiting for the disk would hold up whatever else runs on the thread.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|broken| {
        Err(ArchiveError::File {
            what: "written",
            path: PathBuf::new(),
            source: std::io::Error::other(broken),
        })
    })
}
