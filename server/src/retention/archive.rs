//! A folder of retired runs.
//!
//! A run is a file `ID.jsonl.gz`, its events as `pullwright runs export` prints them, and where it changed
//! something a file `ID.patch.gz`. Both are gzip (RFC 1952), so that `zcat` reads them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use pullwright_core::store::{RunRecord, RunStore, StoreError};
use pullwright_protocol::{LoggedEvent, RunId};

use super::draft::{Draft, TEMPORARY_PREFIX};

const EVENTS_SUFFIX: &str = ".jsonl.gz";
const PATCH_SUFFIX: &str = ".patch.gz";

/// Only the server's own user may read runs: they hold prompts and source code.
const FOLDER_MODE: u32 = 0o700;

/// How many events are read at once from the store, which bounds their bytes.
const PAGE_EVENTS: usize = 512;

/// The longest line that is read of a file, in bytes: more than any event has, and less than a file that is
/// no archive could fill the memory with.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// A folder of retired runs.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
}

/// Why a run cannot be archived, or read back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file or the folder cannot be used.
    #[error("the archive `{path}` cannot be {what}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A line is no event.
    #[error("line {line} of `{path}` is not an event of a run: {source}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The reason.
        source: serde_json::Error,
    },
    /// The store does not hold all events of the run.
    #[error("the store holds {found} of the {expected} events of run {run}; it is not archived")]
    Incomplete {
        /// The run.
        run: RunId,
        /// How many events it had.
        expected: u64,
        /// How many are there, in order.
        found: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Archive {
    /// The archive in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(folder: &Path) -> Result<Self, ArchiveError> {
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(FOLDER_MODE).create(folder);
        made.map_err(failed("made", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The archive in `folder`, to read.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Writes a run, which is here as a whole and durable when this returns. One that is here already is
    /// written again.
    pub(super) async fn put(
        &self,
        store: &dyn RunStore,
        run: &RunRecord,
    ) -> Result<(), ArchiveError> {
        if let Some(patch) = store.patch(&run.id).await? {
            let draft = Draft::begin(&self.folder).await?;
            let draft = draft.add(patch).await?;
            draft.keep_as(self.patch_path(&run.id)).await?;
        }
        let mut draft = Draft::begin(&self.folder).await?;
        let mut found = 0;
        loop {
            let page = store.read(&run.id, found, PAGE_EVENTS).await?;
            if page.is_empty() {
                break;
            }
            for (logged, expected) in page.iter().zip(found + 1..) {
                if logged.seq != expected {
                    return Err(incomplete(run, found));
                }
                found = expected;
            }
            draft = draft.add_events(page).await?;
        }
        if found != run.last_seq {
            return Err(incomplete(run, found));
        }
        draft.keep_as(self.events_path(&run.id)).await
    }

    /// Removes what was being written when a server died.
    pub(super) fn sweep(&self) {
        let is_ours = |name: &OsStr| name.to_string_lossy().starts_with(TEMPORARY_PREFIX);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        for entry in entries
            .flatten()
            .filter(|entry| is_ours(&entry.file_name()))
        {
            let path = entry.path();
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a file was not removed");
            }
        }
    }

    /// The runs whose ids begin with `beginning`, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find(&self, beginning: &str) -> Result<Vec<RunId>, ArchiveError> {
        let cannot_read = failed("read", &self.folder);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(&cannot_read)? {
            let name = entry.map_err(&cannot_read)?.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(EVENTS_SUFFIX));
            let id = id.filter(|id| id.starts_with(beginning));
            found.extend(id.map(|id| RunId(id.to_owned())));
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// A run's events, in order.
    ///
    /// # Errors
    /// When its file cannot be opened.
    pub fn events(&self, run: &RunId) -> Result<ArchivedEvents, ArchiveError> {
        ArchivedEvents::open(&self.events_path(run))
    }

    /// A run's patch, if it has one.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, ArchiveError> {
        let path = self.patch_path(run);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("opened", &path))?,
        };
        let mut patch = Vec::new();
        let mut decoder = MultiGzDecoder::new(BufReader::new(file));
        let read = decoder.read_to_end(&mut patch);
        read.map_err(failed("read", &path))?;
        Ok(Some(patch))
    }

    fn events_path(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("{run}{EVENTS_SUFFIX}"))
    }

    fn patch_path(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("{run}{PATCH_SUFFIX}"))
    }
}

/// The events in a file of JSON lines, one after the other.
pub struct ArchivedEvents {
    lines: Box<dyn BufRead + Send>,
    path: PathBuf,
    line: u64,
}

impl ArchivedEvents {
    /// Opens a file that an archive holds, or that `pullwright runs export` has printed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(failed("opened", path))?;
        let mut file = BufReader::new(file);
        let head = file.fill_buf().map_err(failed("read", path))?;
        // The two bytes that every gzip file begins with.
        let lines: Box<dyn BufRead + Send> = match head.starts_with(&[0x1f, 0x8b]) {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Self {
            lines,
            path: path.to_owned(),
            line: 0,
        })
    }

    fn read_line(&mut self) -> Result<Option<LoggedEvent>, ArchiveError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.lines).take(MAX_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut line);
        read.map_err(failed("read", &self.path))?;
        self.line += 1;
        if line.is_empty() {
            return Ok(None);
        }
        let event = serde_json::from_slice(&line);
        event.map(Some).map_err(|source| ArchiveError::Line {
            path: self.path.clone(),
            line: self.line,
            source,
        })
    }
}

impl Iterator for ArchivedEvents {
    type Item = Result<LoggedEvent, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_line().transpose()
    }
}

fn incomplete(run: &RunRecord, found: u64) -> ArchiveError {
    ArchiveError::Incomplete {
        run: run.id.clone(),
        expected: run.last_seq,
        found,
    }
}

pub(super) fn failed(
    what: &'static str,
    path: &Path,
) -> impl Fn(std::io::Error) -> ArchiveError + use<> {
    let path = path.to_owned();
    move |source| ArchiveError::File {
        what,
        path: path.clone(),
        source,
    }
}
