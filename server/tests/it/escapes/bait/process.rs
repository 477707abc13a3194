//! A process of the host, with a secret in its arguments, its environment and its memory.

use std::fs;
use std::process::{Child, Command, Stdio};

pub(super) struct HostProcess {
    child: Child,
}

impl HostProcess {
    pub(super) fn start(secret: &str) -> Self {
        // It waits for an end of input that comes when this value is dropped.
        let child = Command::new("sh")
            .args(["-c", "read line", "bait", secret])
            .env_clear()
            .env("BAIT", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn disturbed(&mut self) -> Option<String> {
        if let Some(status) = self.child.try_wait().unwrap() {
            return Some(format!("the host's process ended: {status}"));
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let is_held = status.lines().any(|line| match line.split_once(":\t") {
            Some(("State", state)) => state.starts_with(['T', 't']),
            Some(("TracerPid", tracer)) => tracer != "0",
            _ => false,
        });
        is_held.then(|| "the host's process was stopped or traced".to_owned())
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // It may be gone already, which a case has then complained about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
