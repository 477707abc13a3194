//! The folders of a run, and who may enter them.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use pullwright_core::removal::remove_tree;
use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;

use super::{KIND, io_error};

/// What everybody else needs on a folder to pass through it, and nothing more.
const PASS_THROUGH: u32 = 0o011;
const OTHERS_ENTER: u32 = 0o001;
const PRIVATE: u32 = 0o700;

/// Where programs are, where the server has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The folders of one run.
#[derive(Clone)]
pub(super) struct Folders {
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
    /// Holds the last two.
    own: PathBuf,
    separate: bool,
}

/// Where programs are looked for inside.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) path: String,
    /// Folders of the server's own `PATH` that the sandbox's users cannot enter.
    pub(super) unreachable: Vec<String>,
    /// Where rustup keeps its toolchains, if they can be reached: its `cargo` and `rustc` find
    /// nothing by a run's own empty home.
    pub(super) rustup_home: Option<PathBuf>,
}

impl Search {
    pub(super) fn new(separate: bool) -> Self {
        let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
        let folders = path.split(':').filter(|folder| Path::new(folder).is_dir());
        let absolute = folders.filter(|folder| folder.starts_with('/'));
        let (unreachable, reachable): (Vec<_>, Vec<_>) =
            absolute.partition(|folder| separate && closed_folder(Path::new(folder)).is_some());
        Self {
            path: reachable.join(":"),
            unreachable: unreachable.into_iter().map(ToOwned::to_owned).collect(),
            rustup_home: rustup_home()
                .filter(|folder| !(separate && closed_folder(folder).is_some())),
        }
    }
}

fn rustup_home() -> Option<PathBuf> {
    let named = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".rustup"));
    named.or_else(usual).filter(|folder| folder.is_dir())
}

impl Folders {
    /// Makes the run's own folders, and lets its user in.
    pub(super) fn prepare(
        data_dir: &Path,
        run: &RunId,
        workspace: &Path,
        user: Option<u32>,
    ) -> Result<Self, SandboxError> {
        check_folder(workspace).map_err(io_error("cannot use the checkout", workspace))?;
        let own = data_dir.join("none").join(folder_name(run)?);
        let folders = Self {
            workspace: workspace.to_owned(),
            home: own.join("home"),
            tmp: own.join("tmp"),
            own,
            separate: user.is_some(),
        };
        for folder in [&folders.home, &folders.tmp] {
            make_private(folder, user).map_err(io_error("cannot make the folder", folder))?;
        }
        if let Some(user) = user {
            take_top(workspace, user).map_err(io_error("cannot hand over", workspace))?;
            for folder in [workspace, &folders.home] {
                let parent = folder.parent().unwrap_or(folder);
                open_way(parent, data_dir)?;
            }
        }
        Ok(folders)
    }

    /// Removes the run's own folders and closes its workspace to the user, whom a later run gets.
    pub(super) fn give_back(&self) -> Result<(), SandboxError> {
        match remove_tree(&self.own, &self.own.with_extension("removal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("cannot remove", &self.own)(error));
            }
            _ => {}
        }
        if self.separate && self.workspace.symlink_metadata().is_ok() {
            let own = rustix::process::geteuid().as_raw();
            take_top(&self.workspace, own)
                .map_err(io_error("cannot take back", &self.workspace))?;
        }
        Ok(())
    }
}

/// Gives everything in `folder` to `user`. Safe only before an untrusted process has touched it.
pub(super) fn give(folder: &Path, user: u32) -> Result<(), SandboxError> {
    give_all(folder, user).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL | libc::EPERM) => SandboxError::Refused {
            kind: KIND,
            reason: format!("cannot give {} to user {user}: {error}", folder.display()),
            remedy: format!(
                "run the server as an ordinary user, or with CAP_CHOWN, CAP_SETUID, CAP_SETGID and \
                 CAP_KILL where user {user} is mapped"
            ),
        },
        _ => io_error("cannot hand over", folder)(error),
    })
}

/// The first folder on the way to `path`, itself included, that other users cannot enter.
pub(super) fn closed_folder(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut way: Vec<_> = path.ancestors().collect();
    way.reverse();
    let closed = |folder: &&&Path| {
        fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.mode() & OTHERS_ENTER == 0)
    };
    way.iter().find(closed).map(|folder| folder.to_path_buf())
}

/// Lets other users pass through the folders down to `folder`, inside `data_dir`; outside it they
/// are somebody else's.
pub(super) fn open_way(folder: &Path, data_dir: &Path) -> Result<(), SandboxError> {
    while let Some(closed) = closed_folder(folder) {
        let data_dir = data_dir
            .canonicalize()
            .unwrap_or_else(|_| data_dir.to_owned());
        if !closed.starts_with(&data_dir) {
            return Err(SandboxError::Refused {
                kind: KIND,
                reason: format!("a run's own user cannot enter {}", closed.display()),
                remedy: format!(
                    "put `[server] data_dir` elsewhere, or run `chmod o+x {}`",
                    closed.display()
                ),
            });
        }
        let found = fs::metadata(&closed).map_err(io_error("cannot look at", &closed))?;
        let mode = Permissions::from_mode(found.mode() & 0o7777 | PASS_THROUGH);
        fs::set_permissions(&closed, mode)
            .map_err(io_error("cannot open the way into", &closed))?;
    }
    Ok(())
}

/// A run's id as a folder's name.
fn folder_name(run: &RunId) -> Result<&str, SandboxError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !run.0.is_empty() && run.0.chars().all(plain) {
        return Ok(&run.0);
    }
    Err(SandboxError::Refused {
        kind: KIND,
        reason: format!("the run's id {:?} cannot name a folder", run.0),
        remedy: "use letters, digits and dashes".to_owned(),
    })
}

fn make_private(folder: &Path, user: Option<u32>) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(folder)?;
    match user {
        Some(user) => take_top(folder, user),
        None => Ok(()),
    }
}

fn check_folder(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Makes `user` the owner of a folder, whose inside is then theirs alone.
fn take_top(folder: &Path, user: u32) -> io::Result<()> {
    check_folder(folder)?;
    lchown(folder, Some(user), Some(user))?;
    fs::set_permissions(folder, Permissions::from_mode(PRIVATE))
}

fn give_all(path: &Path, user: u32) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all(&entry?.path(), user)?;
        }
    } else if found.is_file() && found.nlink() > 1 {
        unshare(path, &found)?;
    }
    lchown(path, Some(user), Some(user))
}

/// Replaces a hard link by a copy, so that what it shares with a mirror stays the server's.
fn unshare(path: &Path, found: &Metadata) -> io::Result<()> {
    let copy = path.with_file_name(format!(".pullwright-copy-{}", found.ino()));
    fs::copy(path, &copy)?;
    fs::set_permissions(&copy, found.permissions())?;
    fs::rename(&copy, path)
}
