//! What setup makes in a sandbox, by a name: the same branch, the same commands and the same locked
//! dependencies make the same.

use sha2::{Digest, Sha256};

use super::Run;
use super::detect::Commands;
use crate::agent::Halt;
use crate::source::Base;

/// The files that say exactly which dependencies a project has.
const LOCK_FILES: &[&str] = &[
    "Cargo.lock",
    "Gemfile.lock",
    "Pipfile.lock",
    "bun.lock",
    "composer.lock",
    "flake.lock",
    "go.sum",
    "gradle.lockfile",
    "mix.lock",
    "package-lock.json",
    "packages.lock.json",
    "pdm.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "requirements.txt",
    "uv.lock",
    "yarn.lock",
];

/// How much of a lock file counts.
const MAX_LOCK_BYTES: usize = 8 * 1024 * 1024;

impl Run<'_> {
    /// The name of what setup makes; none where nothing is set up.
    pub(super) async fn warm_name(
        &self,
        base: &Base,
        commands: &Commands,
    ) -> Result<Option<String>, Halt> {
        if commands.setup.is_empty() {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            // Its length first, so that no two lists read the same.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        add(base.repository.url.as_bytes());
        // Whoever may push to one branch does not choose what another's runs start from.
        add(base.branch.as_bytes());
        commands
            .setup
            .iter()
            .for_each(|command| add(command.as_bytes()));
        for path in LOCK_FILES {
            let read = self.parts.files.read(base, path, MAX_LOCK_BYTES).await;
            if let Some(content) = read? {
                add(path.as_bytes());
                add(&content);
            }
        }
        let name = digest.finalize();
        Ok(Some(
            name.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }
}
