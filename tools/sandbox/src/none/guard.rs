//! Ends a run's processes when the server ends, however it ends.

use std::io;
use std::process::{Child, Command, Stdio};

use crate::confine::{Confinement, confine};
use crate::sweep;

/// A shell of the run's user, which kills all of that user's processes when its input closes. The
/// kernel closes it even when the server is killed.
pub(super) struct Guard {
    uid: u32,
    shell: Child,
}

const SCRIPT: &str = "read -r _; kill -9 -1";

impl Guard {
    pub(super) fn start(uid: u32) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).env_clear().current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Without any variable it would look like a process that is just being started.
        command.env("PULLWRIGHT_GUARD", "1");
        let confinement = Confinement {
            uid: Some(uid),
            dies: false,
            may_gain_rights: false,
        };
        confine(&mut command, confinement);
        Ok(Self {
            uid,
            shell: command.spawn()?,
        })
    }
}

impl Drop for Guard {
    /// Kills the run's processes, the shell among them; it is there until they are gone, in case the server
    /// is not. Does not count on the shell, which they may have stopped. Takes up to seconds.
    fn drop(&mut self) {
        let swept = sweep::user(self.uid);
        let ended = self.shell.kill().and_then(|()| self.shell.wait());
        for error in [swept.err(), ended.err()].into_iter().flatten() {
            tracing::warn!(uid = self.uid, %error, "cannot end the processes of a run");
        }
    }
}
