//! Parking: a run that its code host asks to come back later is put aside until then, and nobody is kept from work
//! by it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pullwright_protocol::{Event, Stage};

use super::finish::NOTICES_TIMEOUT;
use super::{Executed, Run};
use crate::agent::{Halt, Later};
use crate::log::now_ms;

/// A limit that is over at once is looked at after this long all the same.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The longest time between two looks at a host that is out of order.
const LONGEST_OUTAGE_WAIT: Duration = Duration::from_secs(15 * 60);

impl Run<'_> {
    /// How the run is put aside, or how it ends instead.
    pub(super) fn may_wait(&self, later: Later) -> Result<Later, Halt> {
        if self.owned.cancel.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        if later.is_outage && !self.has_made_something() && !self.is_left_behind {
            return Err(Halt::Failed(later.kind, later.reason));
        }
        // Each look at a broken host comes after as long a time as all the waits before it took.
        let patience = match later.is_outage {
            true => self.parked.min(LONGEST_OUTAGE_WAIT),
            false => SHORTEST_WAIT,
        };
        let wait = later.wait.max(patience);
        let minutes = self.parts.config.budget.max_parked_minutes;
        if self.parked + wait <= Duration::from_secs_f64(minutes * 60.0) {
            return Ok(Later { wait, ..later });
        }
        let message = format!(
            "{}; a run waits for at most {minutes} minutes in all (`max_parked_minutes` in [budget]), so this \
             one ends",
            later.reason
        );
        Err(Halt::Failed(later.kind, message))
    }

    /// The halt that comes of it.
    pub(super) fn wait_or_end(&self, later: Later) -> Halt {
        self.may_wait(later).map_or_else(|halt| halt, Halt::Later)
    }

    pub(super) fn has_made_something(&self) -> bool {
        self.pushed.is_some() || self.work.is_some() || self.is_kept.load(Ordering::Relaxed)
    }

    /// Leaves what is needed to go on, which is the log, the patch and the objects of the work.
    pub(super) async fn park(mut self, later: Later) -> Executed {
        if self.unsaved {
            self.leave_sandbox().await;
        } else if let Err(error) = self.close_sandbox().await {
            tracing::warn!(run = %self.owned.id, %error, "the sandbox did not close");
        }
        self.give_up_sandboxes().await;
        self.host_servers.clear();
        self.forge = None;
        self.end_notices(NOTICES_TIMEOUT).await;
        let wait = later.wait;
        let parked = Event::Parked {
            stage: self.stage_to_go_on_with(),
            until_ms: now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason: later.reason,
        };
        self.log.emit(parked).await;
        // The next owner goes on from what is durable.
        let _ = self.log.committed().await;
        Executed::Parked(wait)
    }

    fn stage_to_go_on_with(&self) -> Stage {
        match self.has_made_something() {
            true => Stage::Publish,
            false => Stage::Clone,
        }
    }
}
