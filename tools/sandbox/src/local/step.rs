//! A step of the set-up that the kernel refused.

use std::io;

use serde::{Deserialize, Serialize};

/// The steps between the launcher's start and a sandbox that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Reading the plan.
    Plan,
    /// Binding the launcher's life to the server's.
    Death,
    /// Creating the namespaces.
    Namespaces,
    /// Mapping the user.
    UserMap,
    /// Joining a cgroup.
    Cgroup,
    /// Becoming the sandbox's user.
    Identity,
    /// Taking a file or folder of the host along.
    Source,
    /// Mounting something inside.
    Mount,
    /// Mounting `/proc`.
    Proc,
    /// Making a file or folder inside.
    File,
    /// Leaving the host's file system.
    Pivot,
    /// Bringing the loopback interface up, or listening on it.
    Network,
    /// Setting the host name.
    HostName,
    /// Giving up rights.
    Privileges,
    /// The Landlock rules.
    Landlock,
    /// The filter of system calls.
    Seccomp,
    /// Talking to the server.
    Socket,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) step: Step,
    /// The kernel's error number; 0 if it was not the kernel.
    pub(super) errno: i32,
    /// What was tried, and on which thing.
    pub(super) detail: String,
}

/// Says which step an error ended.
pub(super) trait During<T> {
    /// Names the step and what was tried.
    fn during(self, step: Step, detail: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: Step, detail: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| {
            let error = error.into();
            let errno = error.raw_os_error().unwrap_or(0);
            let detail = match errno {
                0 => format!("{}: {error}", detail()),
                _ => detail(),
            };
            Failure {
                step,
                errno,
                detail,
            }
        })
    }
}
