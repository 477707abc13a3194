//! Git at the remote: what fails in passing is tried again.

use std::time::Duration;

use pullwright_protocol::Event;

use super::Run;
use crate::agent::{Halt, Later};
use crate::source::SourceError;

/// How long to wait before each attempt after the first: a host that is restarted is back by then.
const WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// How long a run waits at first for a remote that several attempts did not find in order; each wait after it is as
/// long as all before.
const OUTAGE_WAIT: Duration = Duration::from_secs(10);

/// What a run does whose finished work a remote did not take: it waits for one that is out of order.
pub(super) fn later_if_it_passes(error: SourceError) -> Halt {
    if !error.passes {
        return error.into();
    }
    Halt::Later(Later {
        wait: OUTAGE_WAIT,
        reason: error.message,
        kind: error.kind,
        is_outage: true,
    })
}

impl Run<'_> {
    /// Attempts what does no harm when it is done twice, until it is done or fails for good.
    pub(super) async fn try_again<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, SourceError>>,
    {
        for (number, wait) in (1..).zip(WAITS) {
            match attempt().await {
                Err(error) if error.passes => {
                    let error = Event::Error {
                        kind: error.kind,
                        message: error.message,
                        retrying: true,
                        attempt: number,
                    };
                    self.log.emit(error).await;
                    tokio::time::sleep(wait).await;
                }
                done => return done,
            }
        }
        attempt().await
    }
}
