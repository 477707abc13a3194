//! From a file to the four symbols of a plugin.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use pullwright_protocol::abi::{
    ABI_VERSION, CLOSE_SYMBOL, CloseFn, OPEN_SYMBOL, OpenFn, SEND_SYMBOL, SendFn, VERSION_SYMBOL,
    VersionFn,
};
use sha2::{Digest, Sha256};

use super::error::LibraryError;

/// A larger file is no plugin, and would fill the memory: in bytes.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;

/// What a plugin offers. Valid for ever, since its library is never unloaded.
pub(super) struct Symbols {
    pub(super) open: OpenFn,
    pub(super) send: SendFn,
    pub(super) close: CloseFn,
}

/// The bytes of the file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LibraryError> {
    let failed = |source: io::Error| LibraryError::Read {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    // A FIFO or a device would be read without end.
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(LibraryError::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

/// Whether the bytes are those that are trusted.
pub(super) fn check(path: &Path, bytes: &[u8], sha256: &str) -> Result<(), LibraryError> {
    let mut found = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(found, "{byte:02x}");
    }
    if found == sha256 {
        return Ok(());
    }
    Err(LibraryError::OtherFile {
        path: path.to_owned(),
        expected: sha256.to_owned(),
        found,
    })
}

/// Loads the library that `bytes` are, and finds the plugin in it. The outer error leaves nothing behind;
/// the inner one is of a library that stays loaded. `path` is how errors call it.
pub(super) fn load(
    path: &Path,
    bytes: &[u8],
) -> Result<Result<Symbols, LibraryError>, LibraryError> {
    let refused = |reason: String| LibraryError::Load {
        path: path.to_owned(),
        reason,
    };
    let copy = Copy::of(bytes).map_err(|error| refused(error.to_string()))?;
    // SAFETY: loading runs the library's initialisers, which is what whoever pinned its SHA-256 in the
    // configuration asked for.
    let library = unsafe { Library::open(Some(copy.path()), RTLD_LOCAL | RTLD_NOW) };
    let library = library.map_err(|error| refused(error.to_string()))?;
    let found = plugin(path, &library);
    // Unloading code that may have started threads is never safe, not even where it is no plugin. The
    // copy stays too: the loader takes a second file of the same name for the same library.
    std::mem::forget((library, copy));
    Ok(found)
}

fn plugin(path: &Path, library: &Library) -> Result<Symbols, LibraryError> {
    // SAFETY: the types are those that the interface fixes for these names.
    let (version, open, send, close) = unsafe {
        (
            symbol::<VersionFn>(path, library, VERSION_SYMBOL)?,
            symbol::<OpenFn>(path, library, OPEN_SYMBOL)?,
            symbol::<SendFn>(path, library, SEND_SYMBOL)?,
            symbol::<CloseFn>(path, library, CLOSE_SYMBOL)?,
        )
    };
    // SAFETY: the function takes nothing and only answers a number.
    let found = unsafe { version() };
    if found != ABI_VERSION {
        return Err(LibraryError::Version {
            path: path.to_owned(),
            found,
        });
    }
    Ok(Symbols { open, send, close })
}

/// # Safety
/// `F` must be the type of the symbol.
unsafe fn symbol<F: std::marker::Copy>(
    path: &Path,
    library: &Library,
    name: &CStr,
) -> Result<F, LibraryError> {
    // SAFETY: passed on to the caller.
    let found = unsafe { library.get::<F>(name.to_bytes_with_nul()) };
    found
        .map(|symbol| *symbol)
        .map_err(|_| LibraryError::NoPlugin {
            path: path.to_owned(),
            symbol: name.to_string_lossy().into_owned(),
        })
}

/// The bytes where nobody else can change them between the check and the loading.
#[cfg(target_os = "linux")]
struct Copy {
    path: String,
    _file: File,
}

#[cfg(target_os = "linux")]
impl Copy {
    fn of(bytes: &[u8]) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create(c"plugin", flags)?);
        file.write_all(bytes)?;
        fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
        )?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(Self { path, _file: file })
    }

    fn path(&self) -> &str {
        &self.path
    }
}

/// The same in a file of a folder that only this user enters.
#[cfg(not(target_os = "linux"))]
struct Copy {
    file: tempfile::NamedTempFile,
}

#[cfg(not(target_os = "linux"))]
impl Copy {
    fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        Ok(Self { file })
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}
