//! What several test modules need.

use std::time::Duration;

use pullwright_core::log::stamp;
use pullwright_protocol::{Event, LoggedEvent, Outcome, RunId, RunRequest, RunUsage, Stage};

/// No wait of a test is longer: a hang fails instead of blocking.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn request(prompt: &str) -> RunRequest {
    RunRequest::new("https://github.com/owner/repo", prompt)
}

pub(crate) fn id(text: &str) -> RunId {
    RunId(text.to_owned())
}

pub(crate) fn status(seq: u64, message: impl Into<String>) -> LoggedEvent {
    let message = message.into();
    stamp(
        seq,
        Event::Status {
            stage: Stage::Work,
            message,
        },
    )
}

pub(crate) fn done_event(outcome: Outcome) -> Event {
    Event::Done {
        outcome,
        summary: "it is over".to_owned(),
        pr_url: None,
        branch: None,
        has_patch: false,
        usage: RunUsage::default(),
    }
}

pub(crate) fn done(seq: u64, outcome: Outcome) -> LoggedEvent {
    stamp(seq, done_event(outcome))
}

pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("no answer in time")
}

/// An HTTP client. Its TLS part wants a provider although every server here is on loopback.
pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
