//! Why a library cannot be used.

use std::path::PathBuf;
use std::sync::Arc;

use pullwright_protocol::abi::ABI_VERSION;

/// Why a library cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LibraryError {
    /// The file cannot be read.
    #[error("the library {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: Arc<std::io::Error>,
    },
    /// The file is larger than any plugin.
    #[error("the library {} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is not the one that was pinned.
    #[error(
        "the library {} is not the one that is trusted: its SHA-256 is {found}, and `sha256` says \
         {expected}; if you trust this file, write its SHA-256 there", path.display()
    )]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// What was pinned.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The system's loader refuses it.
    #[error("the library {} cannot be loaded: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It is a library, but no plugin.
    #[error(
        "the library {} is no plugin of Pullwright: it has no symbol `{symbol}`", path.display()
    )]
    NoPlugin {
        /// The file.
        path: PathBuf,
        /// What is missing.
        symbol: String,
    },
    /// It was made for another version of the interface.
    #[error(
        "the library {} was made for version {found} of the plugin interface, and this program has \
         version {ABI_VERSION}; build the plugin against this version", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It refused to start.
    #[error("the plugin `{0}` did not start; its standard error may say why")]
    NotStarted(String),
}
