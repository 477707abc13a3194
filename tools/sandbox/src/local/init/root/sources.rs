//! What is taken along from the host.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::fstat;
use rustix::mount::MountAttrFlags;

use super::super::mount::{self, PLAIN, READ_ONLY};
use super::tree::{Tree, is_folder, is_link, look};
use super::{devices, etc, make_private};
use crate::local::plan::{HOME, Plan, WORKSPACE};
use crate::local::step::{During as _, Failure, Step};

/// System folders, which on most hosts are links into `/usr`.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What is taken along from the host, before anything is mounted.
pub(in super::super) struct Sources {
    links: Vec<(String, PathBuf)>,
    /// In the order in which they are bound.
    taken: Vec<Taken>,
}

struct Taken {
    mount: OwnedFd,
    /// Relative to the root.
    target: PathBuf,
    /// Whether it is left out where the same file is inside already.
    known: bool,
}

impl Sources {
    pub(in super::super) fn take(plan: &Plan) -> Result<Self, Failure> {
        make_private()?;
        let mut sources = Self {
            links: Vec::new(),
            taken: Vec::new(),
        };
        for name in SYSTEM {
            sources.system(&Path::new("/").join(name), name)?;
        }
        for name in etc::shown()? {
            sources.system(&Path::new("/etc").join(&name), &format!("etc/{name}"))?;
        }
        for name in devices::NODES {
            let path = format!("dev/{name}");
            sources.add(
                &Path::new("/").join(&path),
                &path,
                MountAttrFlags::MOUNT_ATTR_NOSUID,
            )?;
        }
        sources.read_only(plan)?;
        sources.folder(&plan.workspace, WORKSPACE)?;
        sources.folder(&plan.home, HOME)?;
        Ok(sources)
    }

    /// A link stays a link, anything else is bound read-only, what is missing stays missing.
    fn system(&mut self, path: &Path, target: &str) -> Result<(), Failure> {
        let detail = || format!("look at {}", path.display());
        match look(path).during(Step::Source, detail)? {
            None => Ok(()),
            Some(found) if is_link(&found) => {
                let to = fs::read_link(path).during(Step::Source, detail)?;
                self.links.push((target.to_owned(), to));
                Ok(())
            }
            Some(_) => self.add(path, target, READ_ONLY),
        }
    }

    /// Outer folders first, so that an inner one is bound onto them and not hidden by them.
    fn read_only(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut wanted: Vec<_> = plan.read_only.iter().collect();
        wanted.sort_by_key(|wanted| wanted.target.as_os_str().len());
        for wanted in wanted {
            let source = wanted.source.canonicalize();
            let source =
                source.during(Step::Source, || format!("find {}", wanted.source.display()))?;
            self.add(&source, &wanted.target, READ_ONLY)?;
            if let Some(taken) = self.taken.last_mut() {
                taken.known = true;
            }
        }
        Ok(())
    }

    /// A folder that can be changed, and not a link to another.
    fn folder(&mut self, source: &Path, target: &str) -> Result<(), Failure> {
        let detail = || format!("use {} as a folder", source.display());
        let found = look(source).during(Step::Source, detail)?;
        match found.as_ref().is_some_and(is_folder) {
            true => self.add(source, target, PLAIN),
            false => Err(rustix::io::Errno::NOTDIR).during(Step::Source, detail),
        }
    }

    fn add(
        &mut self,
        source: &Path,
        target: impl AsRef<Path>,
        flags: MountAttrFlags,
    ) -> Result<(), Failure> {
        let detail = || format!("take {} along", source.display());
        let target = relative(target.as_ref()).during(Step::Source, detail)?;
        let mount = mount::copy(source).during(Step::Source, detail)?;
        mount::restrict_all(&mount, flags).during(Step::Source, detail)?;
        self.taken.push(Taken {
            mount,
            target,
            known: false,
        });
        Ok(())
    }

    /// Puts everything where it belongs.
    pub(super) fn bind(self, tree: &Tree) -> Result<(), Failure> {
        for (path, to) in &self.links {
            tree.link(path, to)?;
        }
        for taken in &self.taken {
            let detail = || format!("look at /{}", taken.target.display());
            let there = taken.known && taken.is_at(tree).during(Step::Mount, detail)?;
            if !there {
                tree.mount(&taken.mount, &taken.target)?;
            }
        }
        Ok(())
    }
}

impl Taken {
    /// Whether the very same file is at the target already, as what lies below `/usr` is.
    fn is_at(&self, tree: &Tree) -> io::Result<bool> {
        let Some(there) = tree.find(&self.target)? else {
            return Ok(false);
        };
        let (one, other) = (fstat(&self.mount)?, fstat(&there)?);
        Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    }
}

/// A clean path without its leading slash.
fn relative(target: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in target.components() {
        match component {
            Component::RootDir => {}
            Component::Normal(name) => clean.push(name),
            _ => return Err(rustix::io::Errno::INVAL.into()),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_inside() {
        assert_eq!(
            relative(Path::new("/opt//go/")).unwrap(),
            Path::new("opt/go")
        );
        assert_eq!(
            relative(Path::new("dev/null")).unwrap(),
            Path::new("dev/null")
        );
        for bad in ["/opt/../etc", "..", "./x"] {
            assert!(relative(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
