//! From a path to an open folder, without ever trusting a name twice.
//!
//! On Linux one `openat2` call settles the common path without symlinks. Everything else, and other
//! systems, takes the walk: each folder is opened from the one before without following links, and
//! links are followed by hand, so that `..` and targets are checked where they really lead.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{PathError, Place, Workspace};

/// Prevents an endless walk through links that point at each other.
const MAX_LINKS: usize = 40;

/// Prevents a path of thousands of folders from using up the process's file descriptors.
const MAX_DEPTH: usize = 128;

#[cfg(any(target_os = "linux", target_os = "android"))]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

pub(super) fn locate(workspace: &Workspace, given: &str, path: &Path) -> Result<Place, PathError> {
    let root = open_root(workspace, given)?;
    #[cfg(target_os = "linux")]
    if let Some(place) = straight(&root, given, path) {
        return Ok(place);
    }
    let (place, _) = Walk::new(workspace, given, root, path, false).run()?;
    Ok(place)
}

pub(super) fn locate_for_writing(
    workspace: &Workspace,
    given: &str,
    path: &Path,
) -> Result<(Place, NewFolders), PathError> {
    if path.iter().any(is_git) {
        return Err(PathError::GitFolder(given.to_owned()));
    }
    let root = open_root(workspace, given)?;
    #[cfg(target_os = "linux")]
    if let Some(place) = straight(&root, given, path) {
        return Ok((place, NewFolders::default()));
    }
    Walk::new(workspace, given, root, path, true).run()
}

/// Folders that were made for a file that is not written yet; dropping them takes them away.
#[derive(Debug, Default)]
pub struct NewFolders(Vec<(OwnedFd, OsString)>);

impl NewFolders {
    /// The file is written: the folders stay.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for (parent, name) in self.0.drain(..).rev() {
            // A folder that someone else has put a file into is theirs now.
            let _ = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
    }
}

fn open_root(workspace: &Workspace, given: &str) -> Result<OwnedFd, PathError> {
    rustix::fs::open(&workspace.root, FOLDER, Mode::empty()).map_err(|error| {
        let root = workspace.root.display();
        PathError::io(
            given,
            std::io::Error::other(format!("the workspace {root}: {error}")),
        )
    })
}

/// The common case: no `..` and no symlink in `path`. Any doubt is left to the walk.
#[cfg(target_os = "linux")]
fn straight(root: &OwnedFd, given: &str, path: &Path) -> Option<Place> {
    use rustix::fs::ResolveFlags;

    let name = path.file_name()?;
    let plain = |part| matches!(part, Component::Normal(_));
    if !path.components().all(plain) {
        return None;
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let dir = rustix::fs::openat2(
        root,
        parent.unwrap_or(Path::new(".")),
        FOLDER,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    );
    let dir = dir.ok()?;
    match rustix::fs::readlinkat(&dir, name, Vec::new()) {
        Err(Errno::INVAL | Errno::NOENT) => Some(Place::new(given, path.to_owned(), dir)),
        _ => None,
    }
}

struct Walk<'a> {
    workspace: &'a Workspace,
    given: &'a str,
    writing: bool,
    root: OwnedFd,
    entered: Vec<(OwnedFd, OsString)>,
    /// What is still to be walked, the next part last.
    pending: Vec<OsString>,
    links: usize,
    new: NewFolders,
}

impl<'a> Walk<'a> {
    fn new(
        workspace: &'a Workspace,
        given: &'a str,
        root: OwnedFd,
        path: &Path,
        writing: bool,
    ) -> Self {
        Self {
            workspace,
            given,
            writing,
            root,
            entered: Vec::new(),
            pending: path.iter().rev().map(OsStr::to_owned).collect(),
            links: 0,
            new: NewFolders::default(),
        }
    }

    fn run(mut self) -> Result<(Place, NewFolders), PathError> {
        while let Some(part) = self.pending.pop() {
            if part == ".." {
                self.leave()?;
                continue;
            }
            if self.writing && is_git(&part) {
                return Err(PathError::GitFolder(self.given.to_owned()));
            }
            match rustix::fs::readlinkat(self.here(), &part, Vec::new()) {
                Ok(target) => {
                    self.follow(&part, Path::new(OsStr::from_bytes(target.as_bytes())))?
                }
                Err(Errno::INVAL | Errno::NOENT) if self.pending.is_empty() => {
                    return self.arrive(&part);
                }
                Err(Errno::INVAL | Errno::NOENT) => self.enter(part)?,
                Err(error) => return Err(self.error(&part, error)),
            }
        }
        let path = self.path();
        let dir = self.entered.pop().map_or(self.root, |(dir, _)| dir);
        Ok((Place::folder(self.given, path, dir), self.new))
    }

    fn here(&self) -> impl AsFd {
        self.entered
            .last()
            .map_or(self.root.as_fd(), |(dir, _)| dir.as_fd())
    }

    fn path(&self) -> PathBuf {
        self.entered.iter().map(|(_, name)| name).collect()
    }

    fn arrive(mut self, name: &OsStr) -> Result<(Place, NewFolders), PathError> {
        let path = self.path().join(name);
        let dir = self.entered.pop().map_or(self.root, |(dir, _)| dir);
        Ok((Place::new(self.given, path, dir), self.new))
    }

    fn leave(&mut self) -> Result<(), PathError> {
        match self.entered.pop() {
            Some(_) => Ok(()),
            None => Err(self.leads_out(Path::new(".."))),
        }
    }

    fn enter(&mut self, part: OsString) -> Result<(), PathError> {
        if self.entered.len() >= MAX_DEPTH {
            return Err(self.error(&part, Errno::NAMETOOLONG));
        }
        let opened = match self.open(&part) {
            Err(Errno::NOENT) if self.writing => self.make(&part).and_then(|()| self.open(&part)),
            opened => opened,
        };
        let dir = opened.map_err(|error| self.error(&part, error))?;
        self.entered.push((dir, part));
        Ok(())
    }

    fn open(&self, part: &OsStr) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(self.here(), part, FOLDER | OFlags::NOFOLLOW, Mode::empty())
    }

    fn make(&mut self, part: &OsStr) -> Result<(), Errno> {
        let parent = rustix::io::fcntl_dupfd_cloexec(self.here(), 0)?;
        match rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o777)) {
            Ok(()) => self.new.0.push((parent, part.to_owned())),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn follow(&mut self, link: &OsStr, target: &Path) -> Result<(), PathError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(self.error(link, Errno::LOOP));
        }
        let Some(inner) = self.workspace.strip_root(target) else {
            return Err(self.leads_out(Path::new(link)));
        };
        if target.is_absolute() {
            self.entered.clear();
        }
        let parts = inner.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        });
        let parts: Vec<OsString> = parts.collect();
        // A target is judged where its link lies, so that the refusal can name the link.
        let climbs = parts.iter().take_while(|part| *part == "..").count();
        if climbs > self.entered.len() {
            return Err(self.leads_out(Path::new(link)));
        }
        self.pending.extend(parts.into_iter().rev());
        Ok(())
    }

    fn leads_out(&self, link: &Path) -> PathError {
        PathError::LeadsOut {
            path: self.given.to_owned(),
            link: self.path().join(link),
        }
    }

    fn error(&self, part: &OsStr, error: Errno) -> PathError {
        let path = self.given.to_owned();
        match error {
            Errno::NOENT => PathError::Missing {
                path,
                part: self.path().join(part),
            },
            Errno::NOTDIR => PathError::Io {
                path,
                source: std::io::Error::other(format!(
                    "`{}` is not a folder",
                    self.path().join(part).display()
                )),
            },
            error => PathError::io(&path, error),
        }
    }
}

/// Whether a part of a path is git's own folder; some file systems ignore case.
pub(super) fn is_git(part: &OsStr) -> bool {
    part.eq_ignore_ascii_case(".git")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        symlink("a/b", root.join("in")).unwrap();
        symlink("../..", root.join("a/up")).unwrap();
        let workspace = Workspace::new(root);
        (temp, workspace)
    }

    fn walked(workspace: &Workspace, path: &str) -> Result<PathBuf, PathError> {
        let root = open_root(workspace, path)?;
        let (place, _) = Walk::new(workspace, path, root, Path::new(path), false).run()?;
        Ok(place.path().to_owned())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_walk_and_the_kernel_agree() {
        let (_temp, workspace) = workspace();
        let root = open_root(&workspace, "").unwrap();
        for path in ["a", "a/b", "a/b/file", "a/b/new", "new"] {
            let straight = straight(&root, path, Path::new(path)).unwrap();
            assert_eq!(straight.path(), walked(&workspace, path).unwrap());
        }
        for path in [
            "in",
            "in/file",
            "a/up",
            "a/up/x",
            "a/..",
            "no/file",
            "a/b/file/x",
        ] {
            assert!(
                straight(&root, path, Path::new(path)).is_none(),
                "{path} is for the walk"
            );
        }
    }

    #[test]
    fn the_walk_follows_links_inside_and_no_others() {
        let (_temp, workspace) = workspace();
        assert_eq!(
            walked(&workspace, "in/file").unwrap(),
            Path::new("a/b/file")
        );
        assert_eq!(walked(&workspace, "in/../new").unwrap(), Path::new("a/new"));
        assert_eq!(walked(&workspace, "a/..").unwrap(), Path::new(""));
        let out = walked(&workspace, "a/up/x").unwrap_err();
        assert!(matches!(&out, PathError::LeadsOut { link, .. } if link == Path::new("a/up")));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let (_temp, workspace) = workspace();
        let missing = walked(&workspace, "a/no/way").unwrap_err();
        assert!(matches!(&missing, PathError::Missing { part, .. } if part == Path::new("a/no")));
    }

    #[test]
    fn new_folders_go_again_unless_kept() {
        let (_temp, workspace) = workspace();
        let made = workspace.root().join("x/y");
        let (_, folders) = workspace.locate_for_writing("x/y/file").unwrap();
        assert!(made.is_dir());
        drop(folders);
        assert!(!workspace.root().join("x").exists());
        let (_, folders) = workspace.locate_for_writing("x/y/file").unwrap();
        folders.keep();
        assert!(made.is_dir());
    }

    #[test]
    fn a_path_too_deep_is_refused_before_it_takes_all_descriptors() {
        let (_temp, workspace) = workspace();
        let deep = "d/".repeat(MAX_DEPTH + 2) + "file";
        assert!(workspace.locate_for_writing(&deep).is_err());
        assert!(!workspace.root().join("d").exists());
    }
}
