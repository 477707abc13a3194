//! A plugin in a native library: pinned by its SHA-256, loaded once, and spoken to like any other.
//!
//! A library is as trusted as this program itself: it shares its memory, and a defect in it is one here.

mod error;
mod inbox;
mod instance;
mod load;
mod pipe;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

pub use error::LibraryError;
pub use instance::LibraryGuard;
pub use pipe::{LibraryReader, LibraryWriter};

use inbox::Inbox;
use instance::Instance;
use load::Symbols;

/// The libraries of this process, by their SHA-256: also those that turned out to be no plugin. None is
/// ever unloaded, so none is loaded twice.
static LOADED: LazyLock<Mutex<HashMap<String, Loaded>>> = LazyLock::new(Mutex::default);

type Loaded = Result<Arc<Symbols>, LibraryError>;

/// A loaded library.
#[derive(Clone)]
pub struct NativeLibrary {
    symbols: Arc<Symbols>,
}

/// An instance of a plugin, as two byte streams with one message a line.
pub struct LibraryConnection {
    /// What the plugin says.
    pub read: LibraryReader,
    /// What it is told.
    pub write: LibraryWriter,
    /// Ends the instance when dropped, on a thread of its own.
    pub guard: LibraryGuard,
}

impl NativeLibrary {
    /// Loads the library at `path`, if its bytes have the SHA-256 `sha256` in lower-case hexadecimal.
    /// What is loaded is a private copy of the very bytes that were hashed. Blocks while it reads.
    ///
    /// # Errors
    /// [`LibraryError`], which names the file.
    pub fn load(path: &Path, sha256: &str) -> Result<Self, LibraryError> {
        let bytes = load::read(path)?;
        load::check(path, &bytes, sha256)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let symbols = match loaded.get(sha256) {
            Some(known) => known.clone(),
            None => {
                let found = load::load(path, &bytes)?.map(Arc::new);
                loaded.insert(sha256.to_owned(), found.clone());
                found
            }
        };
        symbols.map(|symbols| Self { symbols })
    }

    /// Starts an instance. `name` is how errors call it.
    ///
    /// # Errors
    /// When the plugin does not start.
    pub fn open(&self, name: &str) -> Result<LibraryConnection, LibraryError> {
        let inbox = Arc::new(Inbox::default());
        let instance = Instance::open(Arc::clone(&self.symbols), &inbox)
            .ok_or_else(|| LibraryError::NotStarted(name.to_owned()))?;
        let instance = Arc::new(instance);
        Ok(LibraryConnection {
            read: LibraryReader::new(Arc::clone(&inbox)),
            write: LibraryWriter::new(Arc::clone(&instance), Arc::clone(&inbox)),
            guard: LibraryGuard::new(instance, inbox),
        })
    }
}
