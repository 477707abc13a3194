//! Finds the groups that this process may divide.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::mounts::{Mount, Version, View};
use super::place::{LEAF, Place, is_empty};
use super::{Explained, Limit};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) places: Vec<Place>,
    missing: Vec<(Limit, Why)>,
}

/// Why a hierarchy is of no use, and what a person can do about it.
#[derive(Clone, Debug)]
struct Why {
    reason: String,
    remedy: &'static str,
}

const DELEGATE: &str = "start the server as a service that is handed its cgroup (systemd-run --user \
    -p Delegate=yes pullwright serve), or as root";
const HAND_ON: &str = "let the service manager hand it on too (Delegate=cpu memory pids in \
    user@.service)";
const ROOT: &str = "start the server as root, or the machine with version 2 \
    (systemd.unified_cgroup_hierarchy=1)";
const CONTAINER: &str = "start the container with a writable /sys/fs/cgroup, or limit the container \
    itself";
const KERNEL: &str = "use a kernel that has it and is not started with cgroup_disable=";

/// Each controller is in one hierarchy: the one of version 2 if it has it, else one of version 1.
pub(super) fn find(view: &View) -> Found {
    let mounts = view.mounts();
    let unified = mounts.iter().find(|mount| mount.version == Version::V2);
    let unified = unified.map(|mount| (controllers(&mount.point), find_v2(view, mount)));
    let mut found = Found {
        places: Vec::new(),
        missing: Vec::new(),
    };
    for limit in Limit::ALL {
        let placed = match &unified {
            Some((has, place)) if has.contains(&limit) => match place {
                Ok(place) if place.limits.contains(&limit) => Ok(place.clone()),
                Ok(place) => Err(Why {
                    reason: format!(
                        "`{}` is not handed on to {}",
                        limit.controller(),
                        place.parent.display()
                    ),
                    remedy: HAND_ON,
                }),
                Err(why) => Err(why.clone()),
            },
            _ => find_v1(view, &mounts, limit),
        };
        found.add(limit, placed);
    }
    found
}

impl Found {
    pub(super) fn explain(&self, limit: Limit) -> Explained {
        let place = self
            .places
            .iter()
            .find(|place| place.limits.contains(&limit));
        let version = place.map(|place| match place.version {
            Version::V1 => 1,
            Version::V2 => 2,
        });
        let missing = self.missing.iter().find(|(missing, _)| *missing == limit);
        let why = missing.map(|(_, why)| why);
        let folder = place.map(|place| place.folder().display().to_string());
        Explained {
            limit,
            version,
            detail: folder.unwrap_or_else(|| why.map(|why| why.reason.clone()).unwrap_or_default()),
            remedy: why.map(|why| why.remedy.to_owned()),
        }
    }

    /// One hierarchy of version 1 may have several controllers.
    fn add(&mut self, limit: Limit, placed: Result<Place, Why>) {
        match placed {
            Err(why) => self.missing.push((limit, why)),
            Ok(place) => {
                let known = self
                    .places
                    .iter_mut()
                    .find(|known| known.parent == place.parent);
                match known {
                    None => self.places.push(place),
                    Some(known) if known.limits.contains(&limit) => {}
                    Some(known) => known.limits.push(limit),
                }
            }
        }
    }
}

/// Below the server's own group, so that what limits the server limits its sandboxes too.
fn find_v1(view: &View, mounts: &[Mount], limit: Limit) -> Result<Place, Why> {
    let controller = limit.controller();
    let has = |mount: &&Mount| mount.controllers.iter().any(|found| found == controller);
    let Some(mount) = mounts.iter().find(has) else {
        return Err(Why {
            reason: format!("no cgroup hierarchy has `{controller}`"),
            remedy: KERNEL,
        });
    };
    check_writable(mount)?;
    let own = view.own_folder(mount).filter(|own| own.is_dir());
    let parents = own.into_iter().chain([mount.point.clone()]);
    let mut parents = parents.filter(|parent| may_divide_v1(parent));
    let parent = parents.next().ok_or_else(|| Why {
        reason: format!("{} (version 1) is for root", mount.point.display()),
        remedy: ROOT,
    })?;
    Ok(Place {
        version: Version::V1,
        parent,
        limits: vec![limit],
        leave: false,
    })
}

fn find_v2(view: &View, mount: &Mount) -> Result<Place, Why> {
    check_writable(mount)?;
    let own = view.own_folder(mount).filter(|own| own.is_dir());
    let own = own.ok_or_else(|| Why {
        reason: "the server's own cgroup is not visible here".to_owned(),
        remedy: CONTAINER,
    })?;
    // The part this process has moved to before.
    let start = match own.file_name().is_some_and(|name| name == LEAF) {
        true => own.parent().unwrap_or(&own),
        false => &own,
    };
    let alone = fs::read_to_string(start.join("cgroup.procs"))
        .is_ok_and(|procs| procs.trim() == view.pid.to_string());
    let candidates = candidates(start, &mount.point);
    let may_leave = |group: &Path| group == start && alone;
    let free = |group: &Path| is_root_group(group) || is_empty(group) || may_leave(group);
    let chosen = candidates.iter().find(|group| free(group));
    let parent = chosen.ok_or_else(|| no_candidate(start, &candidates))?;
    let limits: Vec<_> = controllers(parent);
    Ok(Place {
        version: Version::V2,
        leave: !is_root_group(parent) && may_leave(parent),
        parent: parent.clone(),
        limits,
    })
}

/// The groups that may be divided as far as rights go, the best first.
fn candidates(own: &Path, top: &Path) -> Vec<PathBuf> {
    let own_and_above = own.ancestors().take_while(|group| group.starts_with(top));
    let own_and_above = own_and_above.map(Path::to_owned);
    let mut candidates: Vec<PathBuf> = own_and_above
        .take_while(|group| may_divide(group))
        .collect();
    // Whoever may divide the root shares the machine with a service manager, which wants its own
    // groups left alone, except those it says it handed over.
    let shared = candidates.last().is_some_and(|last| is_root_group(last));
    if shared && !is_delegated(own) {
        candidates.rotate_right(1);
    }
    candidates
}

fn no_candidate(own: &Path, candidates: &[PathBuf]) -> Why {
    let own = own.display();
    let reason = match candidates.is_empty() {
        true => format!("the cgroup {own} is not handed over to this user"),
        false => format!("the cgroup {own} has other processes than the server"),
    };
    Why {
        reason,
        remedy: DELEGATE,
    }
}

/// Putting a process into a group below takes the right to write `cgroup.procs` of every group up
/// to the one that has both.
fn may_divide(group: &Path) -> bool {
    let files = ["", "cgroup.procs", "cgroup.subtree_control"];
    files.iter().all(|file| may_write(&group.join(file)))
}

fn may_divide_v1(group: &Path) -> bool {
    may_write(group) && may_write(&group.join("cgroup.procs"))
}

fn check_writable(mount: &Mount) -> Result<(), Why> {
    match mount.read_only {
        false => Ok(()),
        true => Err(Why {
            reason: format!(
                "{} is mounted read-only, as in a container",
                mount.point.display()
            ),
            remedy: CONTAINER,
        }),
    }
}

/// Whether it is the root of the whole machine, which alone has no type.
fn is_root_group(group: &Path) -> bool {
    !group.join("cgroup.type").exists()
}

/// Whether the service manager says that it leaves the group alone.
fn is_delegated(group: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        rustix::fs::getxattr(group, *name, &mut value).is_ok_and(|len| len == 1 && value == *b"1")
    })
}

/// The limits that groups below `group` can keep.
fn controllers(group: &Path) -> Vec<Limit> {
    let text = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    let has = |limit: &Limit| {
        let mut found = text.split_whitespace();
        found.any(|found| found == limit.controller())
    };
    Limit::ALL.into_iter().filter(has).collect()
}

fn may_write(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests;
