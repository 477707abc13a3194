//! A command sandbox to try things in. This test program is the inside too: started again, it is a
//! spawner, or a script that answers the host as a hostile one would.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pullwright_core::config::Config;
use pullwright_core::sandbox::{Sandbox, SandboxError, SandboxHost};
use pullwright_sandbox::open_host;
use pullwright_sandbox::spawner::inside::{self, SpawnerOptions};
use tempfile::TempDir;

use crate::bench::{bounded, new_run, open_in, private_folder};

/// Tells this executable to be a spawner.
const BE_THE_INSIDE: &str = "PULLWRIGHT_TEST_BE_THE_INSIDE";

pub(super) struct Yard {
    pub(super) data: TempDir,
    host: Arc<dyn SandboxHost>,
}

impl Yard {
    /// With a workspace that both sides share.
    pub(super) fn shared() -> Self {
        Self::of(
            &[
                &["sh", "-c", "cd {workspace} && exec \"$@\"", "sh"],
                spawner().as_slice(),
            ]
            .concat(),
        )
    }

    /// With a workspace that is sent.
    pub(super) fn sent() -> Self {
        Self::of(&spawner())
    }

    pub(super) fn of(command: &[impl AsRef<str>]) -> Self {
        Self::with(command, "")
    }

    /// With more keys in `[sandbox]`.
    pub(super) fn with(command: &[impl AsRef<str>], keys: &str) -> Self {
        let host = host(command, keys).unwrap();
        let data = private_folder();
        Self { data, host }
    }

    pub(super) async fn open(&self) -> Arc<dyn Sandbox> {
        self.try_open().await.unwrap()
    }

    pub(super) async fn try_open(&self) -> Result<Arc<dyn Sandbox>, SandboxError> {
        bounded(open_in(self.host.as_ref(), &new_run(), &self.checkout())).await
    }

    /// Why it cannot be opened.
    pub(super) async fn refusal(&self) -> SandboxError {
        match self.try_open().await {
            Ok(_) => panic!("it was opened"),
            Err(error) => error,
        }
    }

    pub(super) fn checkout(&self) -> PathBuf {
        let checkout = self.data.path().join("checkout");
        fs::create_dir_all(&checkout).unwrap();
        fs::write(checkout.join("file"), "content\n").unwrap();
        checkout
    }

    pub(super) fn host(&self) -> &dyn SandboxHost {
        &*self.host
    }
}

pub(super) fn host(
    command: &[impl AsRef<str>],
    keys: &str,
) -> Result<Arc<dyn SandboxHost>, SandboxError> {
    let words: Vec<_> = command
        .iter()
        .map(|word| format!("{:?}", word.as_ref()))
        .collect();
    let text = format!(
        "[agent]\nprovider = 'a'\n[providers.a]\ncommand = 'a'\n[sandbox]\nkind = 'command'\n\
         command = [{}]\n{keys}\n",
        words.join(", ")
    );
    let config = Config::parse(&text, Path::new("plugins.toml")).unwrap();
    open_host(&config.sandbox, Path::new("/nowhere"), Path::new("/bin/sh"))
}

/// The words that start this program as a spawner.
pub(super) fn spawner() -> Vec<&'static str> {
    again("command::bench::the_inside", &[BE_THE_INSIDE, "=1"])
}

/// The words that start a test of this program again, which finds its part in a variable.
pub(super) fn again(test: &'static str, part: &[&str]) -> Vec<&'static str> {
    let program = std::env::current_exe().unwrap();
    let leak = |text: String| -> &'static str { text.leak() };
    vec![
        "env",
        leak(part.concat()),
        leak(program.into_os_string().into_string().unwrap()),
        "--exact",
        test,
        "--nocapture",
        "--include-ignored",
    ]
}

#[tokio::test]
#[ignore = "it is the inside of other tests"]
async fn the_inside() {
    if std::env::var_os(BE_THE_INSIDE).is_none() {
        return;
    }
    let passed = "PULLWRIGHT_TEST_PASSED".to_owned();
    let options = SpawnerOptions {
        root: None,
        workspace: None,
        env_vars: vec![passed],
    };
    inside::serve(options).await.unwrap();
}
