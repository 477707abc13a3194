//! What the kernel says of itself in files.

use std::fs;
use std::io::Read as _;
use std::path::Path;

/// None of these files is long.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// What some files say, as far as they are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) release: Option<String>,
    /// Whether this process has all rights.
    pub(super) is_root: bool,
    /// Whether the kernel has user namespaces at all.
    pub(super) has_user_namespaces: bool,
    pub(super) max_user_namespaces: Option<String>,
    /// Debian's switch.
    pub(super) unprivileged_userns_clone: Option<String>,
    /// Ubuntu's switch.
    pub(super) apparmor_restrict_userns: Option<String>,
    pub(super) seccomp_actions: Option<String>,
    /// The state of this process.
    pub(super) status: Option<String>,
    /// The security modules, by name.
    pub(super) security_modules: Option<String>,
    pub(super) apparmor: Option<String>,
    pub(super) yama: Option<String>,
    pub(super) docker: bool,
    pub(super) podman: bool,
    pub(super) own_cgroup: Option<String>,
}

impl Facts {
    /// Reads them below `root`, so that another machine's can be laid out in a folder.
    pub(super) fn read(root: &Path) -> Self {
        let read = |path: &str| read_capped(&root.join(path));
        let exists = |path: &str| root.join(path).exists();
        Self {
            release: read("proc/sys/kernel/osrelease"),
            is_root: rustix::process::geteuid().is_root(),
            has_user_namespaces: exists("proc/self/ns/user"),
            max_user_namespaces: read("proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone: read("proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict_userns: read("proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp_actions: read("proc/sys/kernel/seccomp/actions_avail"),
            status: read("proc/self/status"),
            security_modules: read("sys/kernel/security/lsm"),
            apparmor: read("sys/module/apparmor/parameters/enabled"),
            yama: read("proc/sys/kernel/yama/ptrace_scope"),
            docker: exists(".dockerenv"),
            podman: exists("run/.containerenv"),
            own_cgroup: read("proc/self/cgroup"),
        }
    }

    pub(super) fn kernel(&self) -> String {
        match &self.release {
            Some(release) => format!("Linux {release}"),
            None => std::env::consts::OS.to_owned(),
        }
    }

    /// What kind of container this process seems to be in.
    pub(super) fn container(&self) -> Option<String> {
        if self.docker {
            return Some("docker".to_owned());
        }
        if self.podman {
            return Some("podman".to_owned());
        }
        let own = self.own_cgroup.as_deref().unwrap_or_default();
        let kinds = ["kubepods", "docker", "containerd", "libpod", "lxc"];
        let kind = kinds.into_iter().find(|kind| own.contains(kind));
        kind.map(ToOwned::to_owned)
    }

    /// A field of this process's state.
    pub(super) fn status(&self, field: &str) -> Option<&str> {
        let mut fields = self.status.as_deref()?.lines();
        let value = fields.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(value.trim())
    }
}

fn read_capped(path: &Path) -> Option<String> {
    let mut text = String::new();
    let mut file = fs::File::open(path).ok()?.take(MAX_FILE_BYTES);
    file.read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}
