//! What the kernel says of hierarchies: where they are mounted, and where this process is in them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A process's view of the machine. Everything is read below `root`, so that another machine's view
/// can be laid out in a folder.
pub(super) struct View {
    pub(super) root: PathBuf,
    /// The text of `/proc/self/mountinfo`.
    pub(super) mountinfo: String,
    /// The text of `/proc/self/cgroup`.
    pub(super) own: String,
    /// This process, as `cgroup.procs` names it.
    pub(super) pid: u32,
}

/// The generation of a hierarchy's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) version: Version,
    /// Of version 1 only: what it controls.
    pub(super) controllers: Vec<String>,
    /// Which part of the hierarchy is seen at `point`.
    pub(super) root: PathBuf,
    pub(super) point: PathBuf,
    pub(super) read_only: bool,
}

impl View {
    pub(super) fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            root: PathBuf::from("/"),
            mountinfo: read("/proc/self/mountinfo"),
            own: read("/proc/self/cgroup"),
            pid: std::process::id(),
        }
    }

    /// The mounted hierarchies, as seen from here.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mut mounts = parse_mountinfo(&self.mountinfo);
        for mount in &mut mounts {
            mount.point = below(&self.root, &mount.point);
        }
        mounts
    }

    /// The folder of this process's own group in `mount`, if that part of the hierarchy is seen.
    pub(super) fn own_folder(&self, mount: &Mount) -> Option<PathBuf> {
        let groups = parse_own(&self.own);
        let is_of = |group: &&OwnGroup| match mount.version {
            Version::V2 => group.controllers.is_empty(),
            Version::V1 => group.controllers == mount.controllers,
        };
        let path = &groups.iter().find(is_of)?.path;
        let seen = path.strip_prefix(&mount.root).ok()?;
        // A group outside of the own namespace is written with `..`.
        let climbs = seen.components().any(|part| part == Component::ParentDir);
        // Joining nothing would end the path with a slash.
        (!climbs).then(|| mount.point.join(seen).components().collect())
    }
}

/// A line of `/proc/self/cgroup`. The one of version 2 names no controller.
#[derive(Debug, PartialEq, Eq)]
struct OwnGroup {
    controllers: Vec<String>,
    path: PathBuf,
}

fn parse_own(text: &str) -> Vec<OwnGroup> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let controllers = controllers.split(',').filter(|name| !name.is_empty());
        Some(OwnGroup {
            controllers: controllers.map(ToOwned::to_owned).collect(),
            path: PathBuf::from(path),
        })
    };
    text.lines().filter_map(line).collect()
}

fn parse_mountinfo(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_mount).collect()
}

/// `36 35 98:0 ROOT POINT OPTIONS [optional fields] - TYPE SOURCE SUPER_OPTIONS`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point, options) = (place.next()?, place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (version, super_options) = match (kind.next()?, kind.nth(1)?) {
        ("cgroup", options) => (Version::V1, options),
        ("cgroup2", options) => (Version::V2, options),
        _ => return None,
    };
    let mut options = options.split(',').chain(super_options.split(','));
    let controllers = match version {
        Version::V1 => controllers(super_options),
        Version::V2 => Vec::new(),
    };
    Some(Mount {
        version,
        controllers,
        root: unescape(root),
        point: unescape(point),
        read_only: options.any(|option| option == "ro"),
    })
}

/// The options of a version 1 hierarchy are its controllers, and a few others that do not matter
/// here.
fn controllers(super_options: &str) -> Vec<String> {
    let other = |option: &str| {
        let name = option.split('=').next();
        matches!(
            name,
            Some(
                "rw" | "ro"
                    | "xattr"
                    | "clone_children"
                    | "noprefix"
                    | "release_agent"
                    | "nsdelegate"
                    | "cpuset_v2_mode"
                    | "seclabel"
            )
        )
    };
    let options = super_options.split(',').filter(|option| !other(option));
    options.map(ToOwned::to_owned).collect()
}

/// Blanks, tabs, line ends and backslashes are written as octal numbers.
fn unescape(field: &str) -> PathBuf {
    let mut path = field.to_owned();
    for (escape, plain) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        path = path.replace(escape, plain);
    }
    PathBuf::from(path)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_options() {
        let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
            33 25 0:29 /docker/4e2 /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:11 - cgroup cgroup rw,cpu,cpuacct\n\
            34 25 0:30 / /sys/fs/my\\040groups rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n\
            nonsense\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(mounts[0].root, Path::new("/docker/4e2"));
        assert!(mounts[0].read_only);
        assert_eq!(mounts[1].version, Version::V2);
        assert_eq!(mounts[1].point, Path::new("/sys/fs/my groups"));
        assert!(!mounts[1].read_only && mounts[1].controllers.is_empty());
    }

    #[test]
    fn own_groups_are_read_whatever_their_path() {
        let groups =
            parse_own("5:cpu,cpuacct:/a:b c\n1:name=systemd:/x\n0::/user.slice/s\nbroken\n");
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(groups[0].path, Path::new("/a:b c"));
        assert_eq!(groups[2].controllers, [""; 0]);
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_has_no_folder() {
        let mut view = View {
            root: PathBuf::from("/"),
            mountinfo: "1 1 0:1 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw".to_owned(),
            own: "0::/docker/a/b".to_owned(),
            pid: 7,
        };
        let mount = view.mounts().remove(0);
        assert_eq!(
            view.own_folder(&mount),
            Some(PathBuf::from("/sys/fs/cgroup/b"))
        );
        view.own = "0::/docker/b".to_owned();
        assert_eq!(view.own_folder(&mount), None);
        let mount = Mount {
            root: PathBuf::from("/"),
            ..mount
        };
        view.own = "0::/../../other".to_owned();
        assert_eq!(view.own_folder(&mount), None);
    }
}
