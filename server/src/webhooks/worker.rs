//! Works on deliveries that were accepted: a bounded number at a time, and each until it is settled, whatever
//! becomes of the server meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::forge::{Forge, ForgeError};
use pullwright_core::log::now_ms;
use pullwright_core::run::RunParts;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::act::Stop;
use super::ask::Ask;
use super::reception::Reception;
use super::settings::WebhookSettings;
use super::store::{Delivery, DeliveryStore, GIVEN_UP, Phase};
use super::tell::Untold;
use super::turns::Turns;
use crate::access::Access;
use crate::compose::Executor;
use crate::runs::Runs;

/// How many deliveries are worked on at the same time, and of how many runs is told.
const MAX_DOING: usize = 8;
const MAX_TELLING: usize = 256;

/// How many events of a run are read at a time.
pub(super) const PAGE_EVENTS: usize = 500;

/// How often is looked for deliveries that another server has accepted, or has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the lease of a delivery is extended while it lasts.
const EXTENSIONS_PER_LEASE: u32 = 3;

/// How often something is tried. With the waits between, that takes more than an hour.
const MAX_ATTEMPTS: u64 = 20;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How often is looked whether a run is as far as a delivery waits for.
const WAIT_FOR_A_RUN: Duration = Duration::from_secs(10);

/// How long settled deliveries are known, since GitHub sends one again for three days.
const KEEP_DAYS: u64 = 7;
const MS_PER_DAY: u64 = 24 * 3600 * 1000;
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// How many connections to forges stay open: one for each repository.
const MAX_FORGES: usize = 64;

/// Works on the deliveries of a server.
pub struct Worker {
    handler: Arc<Handler>,
}

/// What it works with.
pub(super) struct Handler {
    reception: Arc<Reception>,
    pub(super) runs: Runs,
    executor: Arc<Executor>,
    pub(super) access: Access,
    /// How long a delivery stays with a server that is not heard of.
    lease: Duration,
    forges: Mutex<Forges>,
    pub(super) turns: Turns,
}

/// The connections to forges, and the parts by which they were made.
#[derive(Default)]
struct Forges {
    parts: Option<Arc<RunParts>>,
    by_url: HashMap<String, Forge>,
}

impl Worker {
    /// For the deliveries that arrive at `reception`. `lease` is how long one stays with a server that died.
    #[must_use]
    pub fn new(
        reception: Arc<Reception>,
        runs: Runs,
        executor: Arc<Executor>,
        access: Access,
        lease: Duration,
    ) -> Self {
        let handler = Handler {
            reception,
            runs,
            executor,
            access,
            lease,
            forges: Mutex::default(),
            turns: Turns::default(),
        };
        Self {
            handler: Arc::new(handler),
        }
    }

    /// Works until it is dropped. What is under way then is due again once its lease is over.
    pub async fn go_on(self) {
        let (mut doing, mut telling) = (JoinSet::new(), JoinSet::new());
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgotten: Option<Instant> = None;
        loop {
            // A server that stops starts nothing, and tells to the end.
            if !self.handler.runs.is_closing() {
                self.take(&mut doing, Phase::Do, MAX_DOING).await;
            }
            self.take(&mut telling, Phase::Tell, MAX_TELLING).await;
            if forgotten.is_none_or(|at| at.elapsed() >= FORGET_INTERVAL) {
                self.forget().await;
                forgotten = Some(Instant::now());
            }
            tokio::select! {
                _ = tick.tick() => {}
                () = self.handler.reception.arrived.notified() => {}
                Some(_) = doing.join_next() => {}
                Some(_) = telling.join_next() => {}
            }
        }
    }

    async fn take(&self, under_way: &mut JoinSet<()>, phase: Phase, most: usize) {
        while under_way.try_join_next().is_some() {}
        let free = most.saturating_sub(under_way.len());
        if free == 0 {
            return;
        }
        let handler = &self.handler;
        let due = handler.deliveries().take_due(phase, handler.lease, free);
        match due.await {
            Ok(due) => {
                for delivery in due {
                    let handler = Arc::clone(handler);
                    under_way.spawn(async move { handler.handle(delivery).await });
                }
            }
            Err(error) => tracing::error!(%error, "deliveries cannot be taken"),
        }
    }

    async fn forget(&self) {
        let before = now_ms().saturating_sub(KEEP_DAYS * MS_PER_DAY);
        if let Err(error) = self.handler.deliveries().forget_deliveries(before).await {
            tracing::warn!(%error, "old deliveries cannot be forgotten");
        }
    }
}

impl Handler {
    pub(super) fn settings(&self) -> &WebhookSettings {
        &self.reception.settings
    }

    pub(super) fn deliveries(&self) -> &dyn DeliveryStore {
        self.reception.store.as_ref()
    }

    /// The parts of now.
    pub(super) fn parts(&self) -> Arc<RunParts> {
        self.executor.parts()
    }

    /// The forge of a repository, connected to once as long as the configuration stays.
    pub(super) async fn forge(&self, url: &str) -> Result<Forge, ForgeError> {
        let parts = self.parts();
        let mut forges = self.forges.lock().await;
        let is_same = |known: &Arc<RunParts>| Arc::ptr_eq(known, &parts);
        if !forges.parts.as_ref().is_some_and(is_same) || forges.by_url.len() >= MAX_FORGES {
            *forges = Forges {
                parts: Some(Arc::clone(&parts)),
                by_url: HashMap::new(),
            };
        }
        if let Some(forge) = forges.by_url.get(url) {
            return Ok(forge.clone());
        }
        let forge = Forge::connect(&parts, url).await?;
        forges.by_url.insert(url.to_owned(), forge.clone());
        Ok(forge)
    }

    /// Has the forge of a delivery be connected to anew: what failed may lie in what it was started with, such
    /// as the key of an App that was replaced since.
    async fn forget_forge(&self, delivery: &Delivery) {
        if let Ok(ask) = serde_json::from_str::<Ask>(&delivery.asked) {
            self.forges.lock().await.by_url.remove(&ask.repo_url);
        }
    }

    async fn handle(&self, delivery: Delivery) {
        let work = async {
            match &delivery.run {
                None => self.do_it(&delivery).await,
                Some(run) => match self.tell(&delivery, run).await {
                    Ok(()) => self.settle(&delivery, "it is told").await,
                    Err(Untold { why, wait }) => self.later(&delivery, wait, &why).await,
                },
            }
        };
        tokio::select! {
            () = work => {}
            () = self.keep(&delivery) => {}
        }
    }

    async fn do_it(&self, delivery: &Delivery) {
        match self.act(delivery).await {
            Ok(run) => match self.deliveries().started(&delivery.id, &run).await {
                Ok(true) => self.reception.arrived.notify_one(),
                Ok(false) => {
                    self.settle(delivery, &format!("run {run} was started before"))
                        .await
                }
                Err(error) => {
                    self.later(delivery, Duration::ZERO, &error.to_string())
                        .await
                }
            },
            Err(Stop::Settled(why) | Stop::Refused(why)) => self.settle(delivery, &why).await,
            Err(Stop::Later(why)) => self.later(delivery, Duration::ZERO, &why).await,
            Err(Stop::NotBefore(wait, why)) => self.later(delivery, wait, &why).await,
            Err(Stop::Waits(why)) => self.wait(delivery, &why).await,
        }
    }

    async fn wait(&self, delivery: &Delivery, why: &str) {
        tracing::debug!(delivery = delivery.id, "a delivery waits: {why}");
        let waits = self
            .deliveries()
            .put_off_uncounted(delivery, WAIT_FOR_A_RUN);
        if let Err(error) = waits.await {
            tracing::error!(delivery = delivery.id, %error, "a delivery cannot be put off");
        }
    }

    async fn settle(&self, delivery: &Delivery, how: &str) {
        tracing::info!(delivery = delivery.id, "a delivery is settled: {how}");
        if let Err(error) = self.deliveries().settle(&delivery.id, how).await {
            tracing::error!(delivery = delivery.id, %error, "a delivery cannot be settled");
        }
    }

    /// Tries it again, after a while that grows, or after `shortest` if that is longer.
    async fn later(&self, delivery: &Delivery, shortest: Duration, why: &str) {
        self.forget_forge(delivery).await;
        if delivery.attempts >= MAX_ATTEMPTS {
            tracing::error!(delivery = delivery.id, "a delivery is given up: {why}");
            return self.settle(delivery, &format!("{GIVEN_UP}{why}")).await;
        }
        let doublings = u32::try_from(delivery.attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(doublings));
        let wait = wait.min(LONGEST_WAIT).max(shortest);
        tracing::warn!(
            delivery = delivery.id,
            wait_sec = wait.as_secs(),
            "a delivery is tried again: {why}"
        );
        if let Err(error) = self.deliveries().put_off(&delivery.id, wait).await {
            tracing::error!(delivery = delivery.id, %error, "a delivery cannot be put off");
        }
    }

    /// Extends the lease for ever.
    async fn keep(&self, delivery: &Delivery) {
        let extension = self.lease / EXTENSIONS_PER_LEASE;
        let mut pace = interval_at(Instant::now() + extension, extension);
        loop {
            pace.tick().await;
            if let Err(error) = self.deliveries().put_off(&delivery.id, self.lease).await {
                tracing::warn!(delivery = delivery.id, %error, "a delivery's lease cannot be extended");
            }
        }
    }
}
