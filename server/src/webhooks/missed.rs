//! Looks for deliveries that GitHub has tried in vain, such as while no server was there, and has them sent again.
//! They arrive like others, and are known like others where they came before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pullwright_github::{Accounts, MissedDeliveries};
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
    /// When the last look began that saw everything.
    looked: Option<SystemTime>,
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
                Ok(0) => {}
                Ok(count) => tracing::info!(row = name, count, "missed deliveries are sent again"),
                Err(reason) => {
                    tracing::warn!(row = name, reason, "missed deliveries are not looked for");
                }
            }
        }
    }
}

/// Says how many were asked for; none where the row is no App.
async fn look_at(
    deliveries: Result<Option<MissedDeliveries>, String>,
    known: &mut Known,
) -> Result<usize, String> {
    let Some(deliveries) = deliveries? else {
        return Ok(0);
    };
    let now = SystemTime::now();
    let before = |back| now.checked_sub(back).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = known.looked.map_or(before(FIRST_LOOK), |looked| {
        looked.checked_sub(OVERLAP).unwrap_or(looked)
    });
    let asked = deliveries.ask_again(since, &mut known.asked).await;
    let asked = asked.map_err(|error| error.to_string())?;
    if asked.is_all {
        known.looked = Some(now);
    }
    Ok(asked.count)
}
