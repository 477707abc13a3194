//! Puts the tool host where every run's user can start it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pullwright_core::sandbox::SandboxError;

use crate::handover::{closed_folder, io_error, open_way};

/// Read and start, for everybody; change, for nobody.
const EVERYBODY_STARTS: u32 = 0o555;
const OTHERS_START: u32 = 0o005;

/// Together longer than any process takes to start.
const BUSY_TRIES: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The program itself where everybody can start it, else a copy of it in the data folder.
pub(crate) fn publish(
    kind: &'static str,
    program: &Path,
    data_dir: &Path,
) -> Result<PathBuf, SandboxError> {
    let found = program
        .metadata()
        .map_err(io_error("cannot find the tool host", program))?;
    if found.mode() & OTHERS_START == OTHERS_START && closed_folder(program).is_none() {
        return Ok(program.to_owned());
    }
    let copy = copy_of(program, &found, data_dir)?;
    open_way(kind, copy.parent().unwrap_or(data_dir), data_dir)?;
    check_start(&copy).map_err(io_error("cannot start the copy of the tool host", &copy))?;
    Ok(copy)
}

/// The program itself where everybody may start it once they see it, else a copy of it.
pub(crate) fn readable(program: &Path, data_dir: &Path) -> Result<PathBuf, SandboxError> {
    let found = program
        .metadata()
        .map_err(io_error("cannot find the tool host", program))?;
    match found.mode() & OTHERS_START == OTHERS_START {
        true => Ok(program.to_owned()),
        false => copy_of(program, &found, data_dir),
    }
}

fn copy_of(program: &Path, found: &fs::Metadata, data_dir: &Path) -> Result<PathBuf, SandboxError> {
    let folder = data_dir.join("tool-host");
    let copy = folder.join(identity(found));
    if !copy.exists() {
        copy_to(program, &folder, &copy)
            .map_err(io_error("cannot copy the tool host to", &copy))?;
    }
    Ok(copy)
}

/// Tells one build from another without reading it: a new one is another file.
fn identity(found: &fs::Metadata) -> String {
    let (size, seconds, nanos) = (found.len(), found.mtime(), found.mtime_nsec());
    format!(
        "pullwright-{:x}-{size:x}-{seconds:x}-{nanos:x}",
        found.ino()
    )
}

fn copy_to(program: &Path, folder: &Path, copy: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(folder)?;
    let partial = folder.join(format!("partial-{}", std::process::id()));
    fs::copy(program, &partial)?;
    fs::set_permissions(&partial, Permissions::from_mode(EVERYBODY_STARTS))?;
    fs::rename(&partial, copy)
}

/// A data folder on a file system that forbids programs shows only here.
fn check_start(copy: &Path) -> io::Result<()> {
    let mut command = Command::new(copy);
    command.arg("--version").env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = spawn_unless_busy(&mut command)?;
    child.kill()?;
    child.wait().map(drop)
}

/// A file just written cannot be started while a process that another thread is starting still
/// holds a copy of its descriptor, which is until that process is itself started.
fn spawn_unless_busy(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
    command.spawn()
}
