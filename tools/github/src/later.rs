//! What a pipeline tool answers where only the time is wrong.

use std::time::Duration;

use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::protocol::forge::ForgeLater;
use pullwright_tool_kit::{Output, Refusal};
use serde::Serialize;

use crate::api::Fault;
use crate::github::{Github, structured};

impl Github {
    /// The answer to a call that failed: a refusal or, where the same call may succeed later, when to make it.
    pub(crate) fn failed(&self, doing: &str, fault: &Fault) -> Result<Output, Refusal> {
        self.refused(self.refusal(doing, fault), fault)
    }

    /// What came of a call: its result, or [`Github::failed`].
    pub(crate) fn answer<T: Serialize>(
        &self,
        came: Result<T, Fault>,
        doing: impl FnOnce() -> String,
    ) -> Result<Output, Refusal> {
        match came {
            Ok(result) => structured(&result),
            Err(fault) => self.failed(&doing(), &fault),
        }
    }

    /// [`Github::failed`] in these words.
    pub(crate) fn refused(&self, refusal: Refusal, fault: &Fault) -> Result<Output, Refusal> {
        if !fault.passes() {
            return Err(refusal);
        }
        // Shorter ones were waited for, and that was not enough.
        let shortest = self.api.longest_wait();
        let wait = fault.wait().unwrap_or(Duration::ZERO).max(shortest);
        later(refusal, wait, !fault.is_limit())
    }
}

/// The answer to a call that is to be made again after so long.
pub(crate) fn later(refusal: Refusal, wait: Duration, is_outage: bool) -> Result<Output, Refusal> {
    let later = ForgeLater {
        retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        reason: refusal.0.clone(),
        is_outage,
    };
    let Ok(structured) = serde_json::to_value(later) else {
        return Err(refusal);
    };
    Ok(Output {
        parts: vec![Part::text(refusal.0)],
        structured: Some(structured),
        is_error: true,
        ..Output::default()
    })
}
