//! The limits and the view of a `local` sandbox.

use std::path::PathBuf;

use super::{SandboxKind, refuse_keys};
use crate::config::ConfigError;
use crate::config::section::Section;

/// How much a `local` sandbox may use besides memory, and what of the machine it sees.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// Processes and threads together.
    pub processes: u64,
    /// Processor time, in processors; as much as there is if absent.
    pub cpus: Option<f64>,
    /// The disk of workspace and home together, in megabytes.
    pub disk_mb: u64,
    /// The size of one file, in megabytes.
    pub file_mb: u64,
    /// `/tmp`, which is in memory and counts as such, in megabytes.
    pub tmp_mb: u64,
    /// Open files of a process.
    pub open_files: u64,
    /// Files and folders of the machine that can be read inside, at the same place.
    pub read_only: Vec<PathBuf>,
    /// Folders with programs, before those of the server's own `PATH`.
    pub path: Vec<PathBuf>,
}

/// The keys that only this kind has.
const OWN_KEYS: [&str; 8] = [
    "processes",
    "cpus",
    "disk_mb",
    "file_mb",
    "tmp_mb",
    "open_files",
    "read_only",
    "path",
];

const MAX_MB: u64 = 1 << 24;

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            processes: 1000,
            cpus: None,
            disk_mb: 8192,
            file_mb: 4096,
            tmp_mb: 512,
            open_files: 8192,
            read_only: Vec::new(),
            path: Vec::new(),
        }
    }
}

impl LocalConfig {
    pub(super) fn read(section: &Section<'_>, kind: SandboxKind) -> Result<Self, ConfigError> {
        let own = Self::default();
        if kind != SandboxKind::Local {
            return refuse_keys(section, &OWN_KEYS, SandboxKind::Local, kind).map(|()| own);
        }
        let megabytes = |key, usual| {
            let written = section.integer(key, 1..=MAX_MB)?;
            Ok::<_, ConfigError>(written.unwrap_or(usual))
        };
        Ok(Self {
            processes: section
                .integer("processes", 8..=1 << 20)?
                .unwrap_or(own.processes),
            cpus: section.number("cpus", 0.01..=4096.0)?,
            disk_mb: megabytes("disk_mb", own.disk_mb)?,
            file_mb: megabytes("file_mb", own.file_mb)?,
            tmp_mb: megabytes("tmp_mb", own.tmp_mb)?,
            open_files: section
                .integer("open_files", 64..=1 << 20)?
                .unwrap_or(own.open_files),
            read_only: section.paths("read_only")?,
            path: section.paths("path")?,
        })
    }
}
