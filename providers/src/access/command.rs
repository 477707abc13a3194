//! A key that a command prints, as vendors' own tools do for keys that expire.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{hidden, in_order};
use crate::secret::Secret;

mod process;

use process::Run;

/// How long the command may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many keys are remembered, so that none of them is shown.
const RECENT_KEYS: usize = 8;

/// A command that prints a key on its standard output.
#[derive(Debug)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
    refresh: Duration,
    timeout: Duration,
    fetched: Mutex<Option<Fetched>>,
    /// The keys of late, which a late answer may still repeat.
    recent: Mutex<VecDeque<Secret>>,
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
            timeout: TIMEOUT,
            fetched: Mutex::new(None),
            recent: Mutex::default(),
        }
    }

    /// The same, but the command may take no longer than `timeout`.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
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
            // A command that worked before may do so again.
            retryable: fetched.is_some(),
            retry_after_ms: None,
        })?;
        let mut recent = self.recent.lock().await;
        recent.push_front(key.clone());
        recent.truncate(RECENT_KEYS);
        drop(recent);
        *fetched = Some(Fetched {
            key: key.clone(),
            at: Instant::now(),
            used: false,
        });
        Ok(key)
    }

    /// The keys that were fetched last.
    pub(super) async fn recent(&self) -> Vec<Secret> {
        self.recent.lock().await.iter().cloned().collect()
    }

    /// Drops the key that was refused, unless there is a newer one. Answers whether the next question
    /// has another: a fresh one that is refused shows that fetching does not help.
    pub(super) async fn forget(&self, refused: &Secret) -> bool {
        let mut fetched = self.fetched.lock().await;
        match fetched.as_ref() {
            Some(known) if known.key.reveal() == refused.reveal() => {
                let has_served = known.used;
                *fetched = None;
                has_served
            }
            // Another question has dropped or replaced it meanwhile.
            _ => true,
        }
    }

    /// What it complained about, without keys: a shell that traces itself says them.
    async fn complaint(&self, run: &Run) -> String {
        let mut secrets = self.recent().await;
        let printed = run.printed();
        secrets.extend(printed.lines().map(|line| Secret::new(line.trim())));
        run.complaint(|said| hidden(said, &in_order(secrets)))
    }

    async fn fetch(&self) -> Result<Secret, String> {
        let mut run = Run::start(&self.program, &self.arguments)
            .map_err(|error| format!("cannot be run: {error}"))?;
        let status = match tokio::time::timeout(self.timeout, run.finish()).await {
            Ok(status) => status?,
            Err(_) => {
                let (limit, said) = (self.timeout, self.complaint(&run).await);
                return Err(format!("did not end within {limit:?}{said}"));
            }
        };
        if !status.success() {
            let said = self.complaint(&run).await;
            return Err(format!("failed ({status}){said}"));
        }
        match run.printed().trim() {
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
