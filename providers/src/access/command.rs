//! A key that a command prints, as vendors' own tools do for keys that expire.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::header::HeaderValue;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::secret::Secret;

/// How long the command may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what it complains about is repeated.
const SHOWN_CHARS: usize = 500;

/// A command that prints a key on its standard output.
#[derive(Debug)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
    refresh: Duration,
    fetched: Mutex<Option<Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    key: Secret,
    at: Instant,
    used: bool,
}

impl KeyCommand {
    /// Runs `program` with `arguments`, without a shell, when a key is first needed, and again when
    /// the last one is older than `refresh` or the service refuses it.
    #[must_use]
    pub fn new(program: String, arguments: Vec<String>, refresh: Duration) -> Self {
        Self {
            program,
            arguments,
            refresh,
            fetched: Mutex::new(None),
        }
    }

    /// The key, fetched at most once at a time.
    pub(super) async fn key(&self, provider: &str) -> Result<Secret, ProviderError> {
        let mut fetched = self.fetched.lock().await;
        if let Some(known) = fetched.as_mut()
            && known.at.elapsed() < self.refresh
        {
            known.used = true;
            return Ok(known.key.clone());
        }
        let key = self.fetch().await.map_err(|reason| ProviderError {
            kind: FailureKind::ProviderAuth,
            message: format!("{provider}: {self} {reason}"),
            retryable: false,
            retry_after_ms: None,
        })?;
        *fetched = Some(Fetched {
            key: key.clone(),
            at: Instant::now(),
            used: false,
        });
        Ok(key)
    }

    /// The key that was fetched last.
    pub(super) async fn last(&self) -> Option<Secret> {
        let fetched = self.fetched.lock().await;
        fetched.as_ref().map(|fetched| fetched.key.clone())
    }

    /// Drops the key. Answers whether it had served before: a fresh one that is refused shows that
    /// fetching another does not help.
    pub(super) async fn forget(&self) -> bool {
        let dropped = self.fetched.lock().await.take();
        dropped.is_some_and(|fetched| fetched.used)
    }

    async fn fetch(&self) -> Result<Secret, String> {
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(TIMEOUT, output).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("cannot be run: {error}")),
            Err(_) => return Err(format!("did not end within {TIMEOUT:?}")),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(SHOWN_CHARS).collect();
            return Err(format!("failed ({}): {said}", output.status));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.trim() {
            "" => Err("printed no key".to_owned()),
            key if HeaderValue::try_from(key).is_err() => {
                Err("printed something that cannot be a key".to_owned())
            }
            key => Ok(Secret::new(key)),
        }
    }
}

/// Its arguments may hold secrets, so they are not shown.
impl fmt::Display for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`auth.command` ({})", self.program)
    }
}
