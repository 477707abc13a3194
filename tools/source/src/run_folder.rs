//! What a run has on the control plane's disk.

use std::path::{Path, PathBuf};

use pullwright_core::source::SourceError;
use pullwright_protocol::{FailureKind, RunId};

/// The longest id taken as a folder name, in bytes.
const MAX_ID_LEN: usize = 100;

/// The folder of a run; its id must be a plain name.
pub(crate) fn of(data_dir: &Path, run: &RunId) -> Result<PathBuf, SourceError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if run.0.is_empty() || run.0.len() > MAX_ID_LEN || !run.0.bytes().all(plain) {
        return Err(SourceError::new(
            FailureKind::Internal,
            format!(
                "`{}` is not a run id that can name a folder",
                run.0.escape_debug()
            ),
        ));
    }
    Ok(data_dir.join("runs").join(&run.0))
}

/// Removes the folder of a run: out of sight at once, then piece by piece.
pub(crate) fn remove(data_dir: &Path, run: &RunId) -> Result<(), SourceError> {
    let folder = of(data_dir, run)?;
    let trash = data_dir.join("trash");
    let failed = |error: std::io::Error| {
        SourceError::new(
            FailureKind::Internal,
            format!("`{}` cannot be removed: {error}", folder.display()),
        )
    };
    std::fs::create_dir_all(&trash).map_err(failed)?;
    let aside = tempfile::Builder::new()
        .prefix(&run.0)
        .tempdir_in(&trash)
        .map_err(failed)?;
    match std::fs::rename(&folder, aside.path().join("run")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(()) => aside.close().map_err(failed),
    }
}

/// Removes what an interrupted removal left.
pub(crate) fn sweep(data_dir: &Path) {
    let Ok(left) = std::fs::read_dir(data_dir.join("trash")) else {
        return;
    };
    for entry in left.flatten() {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "trash cannot be removed");
        }
    }
}
