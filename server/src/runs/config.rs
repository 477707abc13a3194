//! The limits of a server's runs.

use std::sync::Arc;
use std::time::Duration;

use super::{Owners, RequestLimits};
use crate::tokens::TokenKeys;
use crate::traces::Traces;

/// The limits of a server's runs.
#[derive(Clone, Debug)]
pub struct RunsConfig {
    /// How many runs may be under way at the same time.
    pub max_concurrent: usize,
    /// How many more may wait for a place.
    pub max_queued: usize,
    /// How long a run waits for a place before it is given up.
    pub max_queue: Duration,
    /// How many runs of one API key may be under way at the same time.
    pub max_per_key: Option<usize>,
    /// What knows the limits of single owners, for runs that are taken up again; a new one comes with its caller's.
    pub owners: Option<Arc<dyn Owners>>,
    /// How many runs on one repository may be under way at the same time.
    pub max_per_repository: Option<usize>,
    /// How long a run stays owned without a heartbeat. After a crash, another server goes on with it this
    /// much later.
    pub lease: Duration,
    /// How long a cancelled run may take to end by itself, before its task is dropped. Longer than
    /// saving its patch, closing its sandbox and a push that is under way take together: each of
    /// those has a bound of its own.
    pub cancel_grace: Duration,
    /// Whether a run that is to come back later leaves its place meanwhile, for whoever takes it up. Where nobody
    /// looks for such runs, it keeps its place and waits.
    pub parks: bool,
    /// What a request may hold.
    pub request: RequestLimits,
    /// What callers' tokens are sealed with in the store; without it they are in memory only.
    pub token_keys: Option<TokenKeys>,
    /// What knows the traces that lines of the log belong to.
    pub traces: Traces,
}

impl Default for RunsConfig {
    fn default() -> Self {
        Self {
            max_concurrent: 32,
            max_queued: 100,
            max_queue: Duration::from_secs(60 * 60),
            max_per_key: None,
            owners: None,
            max_per_repository: None,
            lease: Duration::from_secs(15),
            cancel_grace: Duration::from_secs(15 * 60),
            parks: true,
            request: RequestLimits::default(),
            token_keys: None,
            traces: Traces::default(),
        }
    }
}
