//! Looks for deliveries that GitHub has tried in vain, such as while no server was there, and has them sent again.
//! They arrive like others, and are known like others where they came before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pullwright_github::{Accounts, Asked, MissedDeliveries};
use tokio::time::{MissedTickBehavior, interval};

use crate::compose::{self, Executor};

/// How often is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How far the first look goes back: GitHub has deliveries for three days, but what people wanted long ago they may
/// not want any more.
const FIRST_LOOK: Duration = Duration::from_secs(24 * 3600);
/// How far a look goes back behind the one before: a delivery is listed only when its attempt is over.
const OVERLAP: Duration = Duration::from_secs(15 * 60);

/// Has missed deliveries sent again.
pub struct Missed {
    executor: Arc<Executor>,
    accounts: Accounts,
    /// What is known of an App's deliveries, by the name of its row.
    known: BTreeMap<String, Known>,
}

#[derive(Default)]
struct Known {
    /// What was asked for.
    asked: BTreeSet<u64>,
    /// From when on there may be something left to ask for; `None` before the first look.
    since: Option<SystemTime>,
    /// Whether the last look did not reach back so far.
    is_cut: bool,
}

impl Missed {
    /// For the Apps of the configuration, whose limits are those of `accounts`.
    #[must_use]
    pub fn new(executor: Arc<Executor>, accounts: Accounts) -> Self {
        Self {
            executor,
            accounts,
            known: BTreeMap::new(),
        }
    }

    /// Looks until it is dropped.
    pub async fn go_on(mut self) {
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let parts = self.executor.parts();
        for (name, row) in &parts.config.tools {
            let known = self.known.entry(name.clone()).or_default();
            // The key may be another one by now.
            let deliveries = compose::missed_deliveries(row, self.accounts.clone());
            match look_at(deliveries, known).await {
                Ok(None) => {}
                Ok(Some(asked)) => known.tell(name, asked),
                Err(reason) => {
                    tracing::warn!(row = name, reason, "missed deliveries are not looked for");
                }
            }
        }
    }
}

impl Known {
    /// How far back a look goes that begins `now`.
    fn since(&mut self, now: SystemTime) -> SystemTime {
        *self.since.get_or_insert_with(|| before(now, FIRST_LOOK))
    }

    /// What was left is for the next look, unless it is too far down GitHub's list: the same pages read once more
    /// would get no further.
    fn has_looked(&mut self, began: SystemTime, asked: Asked) {
        if asked.is_all {
            self.since = Some(before(began, OVERLAP));
        }
    }

    /// Says what was asked for, and once that the list has become too long.
    fn tell(&mut self, row: &str, asked: Asked) {
        if asked.count > 0 {
            tracing::info!(row, count = asked.count, "missed deliveries are sent again");
        }
        let was_cut = std::mem::replace(&mut self.is_cut, !asked.reaches_back);
        if self.is_cut && !was_cut {
            tracing::warn!(
                row,
                "GitHub lists more deliveries than are read in one look, so older ones that were missed are not asked \
                 for: send them again in the settings of the App, where they are wanted"
            );
        }
    }
}

/// Says what was asked for; `None` where the row is no App.
async fn look_at(
    deliveries: Result<Option<MissedDeliveries>, String>,
    known: &mut Known,
) -> Result<Option<Asked>, String> {
    let Some(deliveries) = deliveries? else {
        return Ok(None);
    };
    let now = SystemTime::now();
    let since = known.since(now);
    let asked = deliveries.ask_again(since, &mut known.asked).await;
    let asked = asked.map_err(|error| error.to_string())?;
    known.has_looked(now, asked);
    Ok(Some(asked))
}

fn before(now: SystemTime, back: Duration) -> SystemTime {
    now.checked_sub(back).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn asked(is_all: bool, reaches_back: bool) -> Asked {
        Asked {
            count: 1,
            is_all,
            reaches_back,
        }
    }

    #[test]
    fn a_look_goes_back_to_where_something_was_left() {
        let start = SystemTime::now();
        let mut known = Known::default();
        let first = known.since(start);
        assert_eq!(first, start - 24 * 60 * MINUTE);
        // A look that failed, and one that left something.
        let later = start + 5 * MINUTE;
        assert_eq!(known.since(later), first);
        known.has_looked(later, asked(false, true));
        let later = start + 10 * MINUTE;
        assert_eq!(known.since(later), first);
        known.has_looked(later, asked(true, true));
        assert_eq!(known.since(later + 5 * MINUTE), later - 15 * MINUTE);
    }

    #[test]
    fn what_is_too_far_down_the_list_holds_up_no_look() {
        let start = SystemTime::now();
        let mut known = Known::default();
        let first = known.since(start);
        known.has_looked(start, asked(false, false));
        assert_eq!(known.since(start + 5 * MINUTE), first);
        known.has_looked(start + 5 * MINUTE, asked(true, false));
        assert_eq!(known.since(start + 10 * MINUTE), start - 10 * MINUTE);
    }
}
