//! What an attacker would want of the host. It is looked at after each case: whatever a script
//! prints, a bait that was touched is an escape.

mod files;
mod memory;
mod network;
mod process;

use std::collections::BTreeMap;
use std::path::Path;

use super::case::Case;
use files::Files;
use memory::Memory;
use network::Network;
pub(super) use network::own_address;
use process::HostProcess;

pub(super) struct Baits {
    /// What must not be read. No script names it.
    pub(super) secret: String,
    files: Files,
    network: Network,
    process: HostProcess,
    memory: Memory,
}

impl Baits {
    pub(super) fn lay(stage: &Path, case: &Case) -> Self {
        let secret = format!("bait-{}", uuid::Uuid::new_v4().simple());
        let wanted = |name: &str| {
            let name = format!("@{name}@");
            let scripts = [Some(&case.run), case.plant.as_ref(), case.config.as_ref()];
            scripts
                .into_iter()
                .flatten()
                .any(|script| script.contains(&name))
        };
        Self {
            files: Files::lay(stage, &secret),
            network: Network::lay(stage),
            process: HostProcess::start(&secret),
            memory: Memory::lay(stage, &secret, &wanted),
            secret,
        }
    }

    /// What scripts call them.
    pub(super) fn names(&self) -> BTreeMap<&'static str, String> {
        let mut names = self.files.names();
        names.extend(self.network.names());
        names.extend(self.memory.names());
        names.insert("pid", self.process.pid().to_string());
        names
    }

    /// The variables of the host's that a script inside must not see.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("ESCAPE_TOKEN", self.secret.clone()),
            ("SSH_AUTH_SOCK", self.network.socket().display().to_string()),
            ("GITHUB_TOKEN", format!("ghp_{}", self.secret)),
        ]
    }

    /// The file that is open in the command line as descriptor 9.
    pub(super) fn open_file(&self) -> &Path {
        self.files.secret()
    }

    /// What was done to them.
    pub(super) fn disturbed(&mut self) -> Option<String> {
        let files = self.files.disturbed();
        let network = files.or_else(|| self.network.disturbed());
        let process = network.or_else(|| self.process.disturbed());
        process.or_else(|| self.memory.disturbed())
    }
}
