//! How the command reaches the shell: as an argument, or as a file when it is too long for one.

use std::io::Write;
use std::process::Command;

use pullwright_tool_kit::Refusal;
use tempfile::NamedTempFile;

/// Linux takes no single argument of 128 KiB or more, and all arguments share their room with the
/// environment.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// Gives `script` to the shell. The file, where there is one, must live as long as the shell: it is
/// read as it is run.
pub(crate) fn give(shell: &mut Command, script: &str) -> Result<Option<NamedTempFile>, Refusal> {
    if script.len() <= MAX_ARGUMENT_BYTES {
        shell.arg("-c").arg(script);
        return Ok(None);
    }
    let file = write(script).map_err(|error| {
        Refusal::new(format!(
            "a script of {} bytes needs a temporary file, but {} took none: {error}; make room there \
             or split the script",
            script.len(),
            std::env::temp_dir().display(),
        ))
    })?;
    shell.arg(file.path());
    Ok(Some(file))
}

fn write(script: &str) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("command-")
        .suffix(".sh")
        .tempfile()?;
    file.write_all(script.as_bytes())?;
    Ok(file)
}
