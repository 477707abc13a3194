//! Tells the other servers of new events, and hears of theirs, on one connection.
//!
//! A notification names a run and no more. Some are lost, for example while the connection is made anew;
//! so all runs that somebody watches are looked at then, and every few seconds.

use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::RunId;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::time::{Instant, MissedTickBehavior};

use super::PostgresAddress;
use super::connection::{ANSWER_LIMIT, in_time};
use super::grace::Grace;
use super::outbox::Outbox;
use crate::store::watchers::Watchers;

const CHANNEL: &str = "pullwright_runs";

const TELL: &str = "SELECT pg_notify($1, run) FROM UNNEST($2::text[]) AS run";
const LAST: &str = "SELECT id, last_seq FROM runs WHERE id = ANY($1)";

/// How often everything that is watched is looked at. It also finds a connection whose other end has
/// vanished.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long to wait before a connection is made anew, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A connection that lasted so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Hub {
    address: PostgresAddress,
    watchers: Arc<Watchers>,
    outbox: Arc<Outbox>,
    grace: Arc<Grace>,
}

/// A connection that listens, and the number by which we know our own notifications.
struct Line {
    listener: PgListener,
    own: u32,
}

/// What a line has to do next.
enum Next {
    Heard(Option<PgNotification>),
    Tell,
    Look,
}

impl Hub {
    pub(super) fn new(
        address: PostgresAddress,
        watchers: Arc<Watchers>,
        outbox: Arc<Outbox>,
        grace: Arc<Grace>,
    ) -> Self {
        Self {
            address,
            watchers,
            outbox,
            grace,
        }
    }

    pub(super) async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let begin = Instant::now();
            let served = self.connect_and_serve().await;
            self.grace.begin();
            if let Err(error) = served {
                tracing::warn!(address = %self.address, %error, "the line to the other servers broke");
            }
            if begin.elapsed() > GOOD_AFTER {
                wait = FIRST_WAIT;
            }
            tokio::time::sleep(wait).await;
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }

    async fn connect_and_serve(&self) -> Result<(), sqlx::Error> {
        let mut line = in_time(Line::open(&self.address)).await?;
        self.grace.renew();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                heard = line.listener.try_recv() => Next::Heard(heard?),
                () = self.outbox.due() => Next::Tell,
                _ = look.tick() => Next::Look,
            };
            match next {
                Next::Heard(None) => return Ok(()),
                Next::Heard(Some(first)) => {
                    let watched = self.watchers.watched(line.named(first));
                    if !watched.is_empty() {
                        self.look_at(&mut line, watched).await?;
                    }
                }
                Next::Tell => self.tell(&mut line).await?,
                Next::Look => self.look_at(&mut line, self.watchers.all_watched()).await?,
            }
        }
    }

    async fn tell(&self, line: &mut Line) -> Result<(), sqlx::Error> {
        let runs = self.outbox.take();
        let ids: Vec<&str> = runs.iter().map(|run| run.0.as_str()).collect();
        let tell = sqlx::query(TELL).bind(CHANNEL).bind(ids);
        let told = in_time(tell.execute(&mut line.listener)).await;
        if told.is_err() {
            self.outbox.add(runs.into_iter());
        }
        told.map(drop)
    }

    /// Also without a run to look at: the question finds out whether the database is there.
    async fn look_at(&self, line: &mut Line, runs: Vec<RunId>) -> Result<(), sqlx::Error> {
        let ids: Vec<&str> = runs.iter().map(|run| run.0.as_str()).collect();
        let last = sqlx::query_as(LAST).bind(ids);
        let last: Vec<(String, i64)> = in_time(last.fetch_all(&mut line.listener)).await?;
        for (run, last_seq) in last {
            self.watchers.heard(&RunId(run), last_seq.cast_unsigned());
        }
        Ok(())
    }
}

impl Line {
    async fn open(address: &PostgresAddress) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ANSWER_LIMIT)
            .connect_lazy_with(address.options().clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        let own: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut listener)
            .await?;
        Ok(Self {
            listener,
            own: own.cast_unsigned(),
        })
    }

    /// The runs that a notification and those behind it name, without our own.
    fn named(&mut self, first: PgNotification) -> Vec<RunId> {
        let mut named = Vec::new();
        let mut next = Some(first);
        while let Some(notification) = next {
            if notification.process_id() != self.own {
                named.push(RunId(notification.payload().to_owned()));
            }
            next = self.listener.next_buffered();
        }
        named
    }
}
