//! One group.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use pullwright_core::sandbox::SandboxError;

use super::lock::Lock;
use super::place::{FOLDER, Place};
use super::{CgroupLimits, Holds, Limit, kill, settings};

/// What the name of a group's folder begins with.
const PREFIX: &str = "pullwright-";

/// A longer name is not one of a run.
const MAX_NAME_CHARS: usize = 128;

/// How often the folder of all groups may be removed by somebody who finds it empty, before this
/// group is in it.
const MAX_TRIES: u32 = 100;

/// The group of one sandbox. Dropping it removes it too, and can only log what goes wrong.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    parts: Vec<Part>,
    /// There is none where nothing is limited.
    lock: Option<Lock>,
}

/// The group in one hierarchy.
#[derive(Debug)]
struct Part {
    place: Place,
    folder: PathBuf,
    holds: Vec<Limit>,
}

impl Cgroup {
    pub(super) fn create(
        places: &[Place],
        locks: &Path,
        name: &str,
        limits: &CgroupLimits,
    ) -> Result<Self, SandboxError> {
        check_name(name)?;
        let mut group = Self {
            name: name.to_owned(),
            parts: Vec::new(),
            lock: None,
        };
        if places.is_empty() {
            return Ok(group);
        }
        group.own(places, locks)?;
        for place in places {
            let folder = folder_of(place, name);
            group.parts.push(Part::make(place, folder)?);
        }
        for part in &group.parts {
            part.limit(limits)?;
        }
        Ok(group)
    }

    /// Which limits are kept.
    #[must_use]
    pub fn holds(&self) -> Holds {
        self.parts.iter().flat_map(|part| &part.holds).collect()
    }

    /// The files to write a process's number into, each of them, before the process is let go.
    #[must_use]
    pub fn procs_files(&self) -> Vec<PathBuf> {
        let files = self
            .parts
            .iter()
            .map(|part| part.folder.join("cgroup.procs"));
        files.collect()
    }

    /// Kills every process, and returns once there is none. Nothing starts in the group after that.
    ///
    /// # Errors
    /// A process hangs in the kernel, or the kernel refuses.
    pub fn kill(&self) -> Result<(), SandboxError> {
        let killed = kill::kill_all(&self.folders());
        killed.map_err(|source| failed("kill every process of", &self.name, source))
    }

    /// Kills every process and removes the group.
    ///
    /// # Errors
    /// Those of [`Cgroup::kill`], or the kernel keeps the group; a sweep will try again.
    pub fn remove(mut self) -> Result<(), SandboxError> {
        self.take_apart()
    }

    /// The most memory it had at one time, where the kernel counts it.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        let part = self.part(Limit::Memory)?;
        settings::memory_peak(part.place.version, &part.folder)
    }

    /// How many processes were killed because it had no memory left.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let part = self.part(Limit::Memory)?;
        settings::oom_kills(part.place.version, &part.folder)
    }

    /// How often a process could not be started because there were too many.
    #[must_use]
    pub fn refused_forks(&self) -> Option<u64> {
        settings::refused_forks(&self.part(Limit::Processes)?.folder)
    }

    fn part(&self, limit: Limit) -> Option<&Part> {
        self.parts.iter().find(|part| part.holds.contains(&limit))
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.folder.clone()).collect()
    }

    /// Takes the lock, removes what the owner before left, and notes the folders to come.
    fn own(&mut self, places: &[Place], locks: &Path) -> Result<(), SandboxError> {
        let lock = Lock::take(locks, &self.name);
        let lock = lock.map_err(|source| failed("lock", &self.name, source))?;
        let taken = || io::Error::other("another process has it; a run has one owner at a time");
        let lock = lock.ok_or_else(|| failed("make", &self.name, taken()))?;
        let folders = places.iter().map(|place| folder_of(place, &self.name));
        let folders: Vec<PathBuf> = folders.collect();
        let replace = || {
            // Paths can have changed since: a server is not always started in the same group.
            destroy(&recorded(&lock)?)?;
            destroy(&folders)?;
            lock.record(&folders)
        };
        replace().map_err(|source| failed("make", &self.name, source))?;
        self.lock = Some(lock);
        Ok(())
    }

    /// Where it fails, the lock is given back and the record left, for a sweep to find.
    fn take_apart(&mut self) -> Result<(), SandboxError> {
        let (parts, lock) = (std::mem::take(&mut self.parts), self.lock.take());
        let folders: Vec<PathBuf> = parts.iter().map(|part| part.folder.clone()).collect();
        let removed = destroy(&folders);
        removed.map_err(|source| failed("remove", &self.name, source))?;
        for part in &parts {
            part.place.tidy();
        }
        let forgotten = lock.map_or(Ok(()), Lock::forget);
        forgotten.map_err(|source| failed("forget", &self.name, source))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.take_apart() {
            tracing::warn!(%error, "a cgroup is left");
        }
    }
}

impl Part {
    fn make(place: &Place, folder: PathBuf) -> Result<Self, SandboxError> {
        let made = make(place, &folder);
        made.map_err(|source| {
            place.tidy();
            SandboxError::Io {
                what: format!("cannot make the cgroup {}", folder.display()),
                source,
            }
        })?;
        let keeps = |limit: &Limit| settings::keeps(place.version, &folder, *limit);
        Ok(Self {
            holds: place.limits.iter().copied().filter(keeps).collect(),
            place: place.clone(),
            folder,
        })
    }

    fn limit(&self, limits: &CgroupLimits) -> Result<(), SandboxError> {
        for limit in &self.holds {
            let set = settings::apply(self.place.version, &self.folder, *limit, limits);
            set.map_err(|source| SandboxError::Io {
                what: format!("cannot limit the cgroup {}", self.folder.display()),
                source,
            })?;
        }
        Ok(())
    }
}

/// Whoever removes the last group removes the folder of all groups too, maybe just now.
fn make(place: &Place, folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let made = place.prepare().and_then(|()| fs::create_dir(folder));
        tries += 1;
        match made {
            Err(error) if is_gone(&error) && tries < MAX_TRIES => {}
            made => return made,
        }
    }
}

/// A folder that is removed while it is being used is no device to the kernel.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// The folders that a lock's record names.
///
/// # Errors
/// One of them is not a group that this program makes: a damaged record must not kill.
pub(super) fn recorded(lock: &Lock) -> io::Result<Vec<PathBuf>> {
    let folders = lock.recorded()?;
    match folders.iter().find(|folder| !is_group(folder)) {
        None => Ok(folders),
        Some(strange) => {
            let message = format!("{} is not a group of a sandbox", strange.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
    }
}

fn is_group(folder: &Path) -> bool {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let climbs = folder.components().any(|part| part == Component::ParentDir);
    folder.is_absolute()
        && !climbs
        && name(folder).is_some_and(|name| name.starts_with(PREFIX))
        && folder.parent().and_then(name).as_deref() == Some(FOLDER)
}

/// Kills what is in these folders of one group, and removes them.
pub(super) fn destroy(folders: &[PathBuf]) -> io::Result<()> {
    kill::kill_all(folders)?;
    folders.iter().try_for_each(|folder| kill::remove(folder))
}

fn folder_of(place: &Place, name: &str) -> PathBuf {
    place.folder().join(format!("{PREFIX}{name}"))
}

fn check_name(name: &str) -> Result<(), SandboxError> {
    let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.chars().all(usual) {
        let source = io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a name has at most {MAX_NAME_CHARS} letters, digits, `-` and `_`"),
        );
        return Err(failed("make", name, source));
    }
    Ok(())
}

fn failed(what: &str, name: &str, source: io::Error) -> SandboxError {
    SandboxError::Io {
        what: format!("cannot {what} the cgroup `{name}`"),
        source,
    }
}
