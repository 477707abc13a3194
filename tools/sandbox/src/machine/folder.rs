//! The folder for runs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::finding::Finding;

/// A mirror, a checkout and what a build leaves seldom need less.
const ROOMY_BYTES: u64 = 5 << 30;

/// What the folder for runs offers.
#[derive(Clone, Debug, Serialize)]
pub struct DataFolder {
    /// The folder.
    pub path: PathBuf,
    /// Why nothing can be written there, if so.
    pub refuses: Option<String>,
    /// What the file system has left for this user, in bytes.
    pub free_bytes: Option<u64>,
    /// The name of the file system.
    pub file_system: Option<String>,
    /// Whether a copy of a file can share its content.
    pub reflink: bool,
}

impl DataFolder {
    pub(super) fn probe(path: &Path) -> Self {
        let free = rustix::fs::statvfs(path).ok();
        Self {
            path: path.to_owned(),
            refuses: try_writing(path).err().map(|error| error.to_string()),
            free_bytes: free.map(|free| free.f_bavail.saturating_mul(free.f_frsize)),
            file_system: file_system(path),
            reflink: can_reflink(path).unwrap_or_default(),
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.writable()];
        findings.extend(self.room());
        findings
    }

    fn writable(&self) -> Finding {
        let name = "data folder";
        let path = self.path.display();
        match &self.refuses {
            None => {
                let kind = self.file_system.as_deref().unwrap_or("unknown file system");
                let copies = match self.reflink {
                    true => "copies share their content",
                    false => "copies take room of their own",
                };
                Finding::ok(name, format!("{path} ({kind}; {copies})"))
            }
            Some(why) => Finding::no(name, format!("nothing can be written in {path}: {why}"))
                .remedy("give the folder to this user, or name another one in `[server] data_dir`"),
        }
    }

    fn room(&self) -> Option<Finding> {
        let name = "free disk";
        let free = self.free_bytes?;
        let shown = format!("{:.1} GiB", as_gib(free));
        Some(match free >= ROOMY_BYTES {
            true => Finding::ok(name, shown),
            false => {
                let meaning = format!("{shown}: a large repository or its build may not fit");
                Finding::partial(name, meaning)
                    .remedy("make room, or name a folder elsewhere in `[server] data_dir`")
            }
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn as_gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn try_writing(folder: &Path) -> io::Result<File> {
    use std::io::Write as _;

    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(b"pullwright")?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn can_reflink(folder: &Path) -> io::Result<bool> {
    let from = try_writing(folder)?;
    let to = tempfile::tempfile_in(folder)?;
    Ok(rustix::fs::ioctl_ficlone(&to, &from).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn can_reflink(_folder: &Path) -> io::Result<bool> {
    Ok(false)
}

/// The file system that is mounted nearest above `folder`.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    nearest(&mounts, &folder)
}

fn nearest(mountinfo: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?.replace("\\040", " ");
        let kind = kind.split(' ').next()?;
        folder
            .starts_with(&point)
            .then(|| (point.len(), kind.to_owned()))
    };
    // Of two at one place, the later one covers the earlier.
    let nearest = mountinfo
        .lines()
        .filter_map(mount)
        .max_by_key(|(len, _)| *len);
    nearest.map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_is_the_one_that_counts() {
        let mounts = "\
            27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            28 27 0:9 / /data\\040dir rw shared:1 - xfs /dev/vdb rw\n\
            29 27 0:9 / /data rw - btrfs /dev/vdc rw\n\
            30 27 0:9 / /data rw - tmpfs tmpfs rw\n";
        let at = |path: &str| nearest(mounts, Path::new(path)).unwrap();
        assert_eq!(at("/home"), "ext4");
        assert_eq!(at("/data dir/x"), "xfs");
        assert_eq!(at("/data/x"), "tmpfs");
        assert_eq!(at("/database"), "ext4");
    }

    #[test]
    fn a_folder_that_refuses_is_said_with_the_reason() {
        let missing = DataFolder::probe(Path::new("/nonexistent/folder"));
        let finding = &missing.findings()[0];
        assert!(finding.meaning.contains("No such file"), "{finding:?}");
        let there = tempfile::tempdir().unwrap();
        let found = DataFolder::probe(there.path());
        assert_eq!(found.refuses, None);
        assert_eq!(std::fs::read_dir(there.path()).unwrap().count(), 0);
    }
}
