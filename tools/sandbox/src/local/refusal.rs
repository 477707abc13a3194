//! Why this machine refuses the sandbox, and what a person can do about it.

use std::io;

use pullwright_core::sandbox::SandboxError;

use super::KIND;
use super::step::{Failure, Step};

/// The refusal that a failed step is to a person.
pub(super) fn of(failure: &Failure) -> SandboxError {
    SandboxError::Refused {
        kind: KIND,
        reason: reason(failure),
        remedy: remedy(failure),
    }
}

fn reason(failure: &Failure) -> String {
    let tried = &failure.detail;
    match failure.errno {
        0 => format!("cannot {tried}"),
        errno => format!("cannot {tried}: {} ({})", name(errno), description(errno)),
    }
}

fn remedy(failure: &Failure) -> String {
    match (failure.step, failure.errno) {
        (Step::Namespaces, libc::ENOSPC | libc::EUSERS) => NAMESPACE_LIMIT.to_owned(),
        (Step::Namespaces, libc::ENOSYS | libc::EINVAL) => {
            format!("{KERNEL}; {CONTAINER_SECCOMP}")
        }
        (Step::Namespaces, libc::EPERM | libc::EACCES) => {
            format!("{USER_NAMESPACES}; {CONTAINER_SECCOMP}")
        }
        (Step::UserMap, libc::EPERM | libc::EACCES) => APPARMOR.to_owned(),
        (Step::Proc, libc::EPERM | libc::EACCES) => {
            format!("{CONTAINER_PROC}; {APPARMOR_LATER}")
        }
        (Step::Mount | Step::Source | Step::Pivot | Step::Network, libc::EPERM | libc::EACCES) => {
            match failure.step == Step::Source && failure.errno == libc::EACCES {
                true => READABLE.to_owned(),
                false => format!("{APPARMOR_LATER}; {CONTAINER_SECCOMP}"),
            }
        }
        (Step::Pivot, libc::EINVAL) => ROOTFS.to_owned(),
        (_, libc::ENOSYS) => KERNEL.to_owned(),
        (Step::Source | Step::Cgroup, libc::ENOENT) => {
            "make sure that it exists, or take it out of `[sandbox]`".to_owned()
        }
        (_, libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN) => {
            "the machine has run out of what this needs: end other runs, or raise its limits"
                .to_owned()
        }
        _ => "report this with the output of `uname -a`; until it is mended, a run needs another \
              machine, or `kind = \"none\"` in `[sandbox]`, which isolates nothing"
            .to_owned(),
    }
}

const NAMESPACE_LIMIT: &str = "allow more namespaces: `sysctl user.max_user_namespaces=65536`, and \
                               look at `user.max_net_namespaces` and its siblings";
const USER_NAMESPACES: &str = "allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1` \
                               (Debian), `sysctl kernel.apparmor_restrict_unprivileged_userns=0` \
                               or an AppArmor profile for pullwright that says `userns,` \
                               (Ubuntu), `sysctl user.max_user_namespaces=65536`";
const CONTAINER_SECCOMP: &str = "in a container: start it with `--security-opt seccomp=unconfined \
                                 --security-opt apparmor=unconfined`";
const CONTAINER_PROC: &str = "in a container parts of /proc are hidden, and the kernel then gives \
                              no fresh one: start it with `--security-opt systempaths=unconfined`";
const APPARMOR: &str = "AppArmor restricts user namespaces here: `sysctl \
                        kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile \
                        for pullwright that says `userns,`";
const APPARMOR_LATER: &str = "if the kernel has AppArmor: `sysctl \
                              kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for \
                              pullwright that says `userns,`";
const READABLE: &str = "make it readable, and the folders above it passable, for the server's user";
const ROOTFS: &str = "the machine runs from its initial memory file system, which cannot be left: \
                      switch to a real root file system";
const KERNEL: &str = "the sandbox needs Linux 5.12 or newer with user namespaces";

/// The names of errors that a person may look for.
fn name(errno: i32) -> String {
    let names = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EIO, "EIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENFILE, "ENFILE"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::EPIPE, "EPIPE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ELOOP, "ELOOP"),
        (libc::EUSERS, "EUSERS"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
    ];
    let known = names.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("error {errno}"), |(_, name)| (*name).to_owned())
}

/// The system's words, without the number that is named already.
fn description(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(step: Step, errno: i32) -> String {
        let detail = "do the thing".to_owned();
        let failure = Failure {
            step,
            errno,
            detail,
        };
        of(&failure).to_string()
    }

    #[test]
    fn the_error_is_named() {
        let told = told(Step::Namespaces, libc::EPERM);
        let start = "the local sandbox cannot be opened: cannot do the thing: EPERM (operation not \
                     permitted); ";
        assert!(told.starts_with(start), "{told}");
    }

    #[test]
    fn each_refusal_has_its_remedy() {
        let cases = [
            (
                Step::Namespaces,
                libc::EPERM,
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                Step::Namespaces,
                libc::EPERM,
                "apparmor_restrict_unprivileged_userns=0",
            ),
            (
                Step::Namespaces,
                libc::EACCES,
                "--security-opt seccomp=unconfined",
            ),
            (Step::Namespaces, libc::ENOSPC, "user.max_user_namespaces"),
            (
                Step::Namespaces,
                libc::ENOSYS,
                "--security-opt seccomp=unconfined",
            ),
            (
                Step::UserMap,
                libc::EPERM,
                "apparmor_restrict_unprivileged_userns=0",
            ),
            (
                Step::Proc,
                libc::EPERM,
                "--security-opt systempaths=unconfined",
            ),
            (Step::Mount, libc::EACCES, "AppArmor"),
            (Step::Mount, libc::ENOSYS, "Linux 5.12"),
            (Step::Source, libc::ENOENT, "exists"),
            (Step::Source, libc::EACCES, "readable"),
            (Step::Pivot, libc::EINVAL, "root file system"),
            (Step::Seccomp, libc::EINVAL, "kind = \"none\""),
        ];
        for (step, errno, remedy) in cases {
            let told = told(step, errno);
            assert!(told.contains(remedy), "{step:?} {errno}: {told}");
        }
    }

    #[test]
    fn what_is_not_of_the_kernel_stands_alone() {
        assert!(told(Step::Plan, 0).contains("opened: cannot do the thing; "));
    }
}
