//! Tool servers in native libraries.

use std::path::PathBuf;

use pullwright_core::tools::ToolIo;
use pullwright_link::NativeLibrary;

/// Loads the library, unless it is loaded already, and starts an instance of its server.
pub(super) async fn open(name: &str, library: PathBuf, sha256: String) -> Result<ToolIo, String> {
    let name = name.to_owned();
    let opening =
        tokio::task::spawn_blocking(move || NativeLibrary::load(&library, &sha256)?.open(&name));
    let opened = opening.await.map_err(|error| error.to_string())?;
    let connection = opened.map_err(|error| error.to_string())?;
    Ok(ToolIo::bytes(
        connection.read,
        connection.write,
        connection.guard,
    ))
}
