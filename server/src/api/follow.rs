//! A run's log as Server-Sent Events.
//!
//! Each turn reads one bounded page from the store, and only when the connection has taken the
//! last one; so a slow client slows only itself, loses nothing, and holds no connection to the
//! store while it is idle.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use pullwright_core::log::now_ms;
use pullwright_core::store::StoreError;
use pullwright_protocol::{
    Event, FailureKind, Frame, FrameOptions, LoggedEvent, Outcome, RunId, RunUsage,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::ApiState;
use crate::access::Visitor;
use crate::metrics;
use crate::runs::{Departing, Departure, Runs};

/// How many events are read at a time; the store bounds their bytes.
const PAGE_EVENTS: usize = 256;

/// How often a failed read is tried again, and how long to wait in between, before the client is
/// told that the log is broken.
const READ_ATTEMPTS: u32 = 3;
const READ_WAIT: Duration = Duration::from_millis(500);

const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// What a client sees of the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum View {
    /// The frames of `POST /code`.
    Frames(FrameOptions),
    /// The events themselves.
    Events,
}

/// What a client follows.
pub(super) struct Following {
    /// The run.
    pub(super) run: RunId,
    /// The number of the last event that the client has.
    pub(super) after: u64,
    /// What it sees.
    pub(super) view: View,
    /// Whether the run had ended before, so that all of its log is there or none.
    pub(super) has_ended: bool,
}

/// Streams the run's log until its last event, or until the visitor's key is over.
pub(super) fn follow(state: &ApiState, visitor: &Visitor, following: Following) -> Body {
    let key_is_over = Box::pin(visitor.until_over());
    let state = state.clone();
    // Begins once somebody reads: whoever asks for the headers only follows nothing.
    let chunks = stream::once(async move { Follower::new(&state, following).chunks() });
    Body::from_stream(chunks.flatten().take_until(key_is_over))
}

struct Follower {
    runs: Runs,
    run: RunId,
    after: u64,
    view: View,
    hint: watch::Receiver<u64>,
    departing: Option<Departing>,
    beat: Interval,
    /// Whether the store may know more than the hint says.
    unsure: bool,
    has_ended: bool,
    over: bool,
    _counted: metrics::Follower,
}

/// Why a follower that has read everything goes on.
enum Woken {
    Events,
    Heartbeat,
    RunIsOver,
    RunGoesOnElsewhere,
}

impl Follower {
    fn new(state: &ApiState, following: Following) -> Self {
        let Following {
            run,
            after,
            view,
            has_ended,
        } = following;
        let (runs, heartbeat) = (&state.runs, state.config.heartbeat);
        let first_beat = tokio::time::Instant::now() + heartbeat;
        let mut beat = interval_at(first_beat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            hint: runs.store().watch(&run),
            departing: runs.departing(&run),
            runs: runs.clone(),
            run,
            after,
            view,
            beat,
            unsure: true,
            has_ended,
            over: false,
            _counted: state.config.metrics.follower(),
        }
    }

    fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let chunk = follower.next().await?;
            Some((Ok(Bytes::from(chunk)), follower))
        })
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut last_look = false;
        while !self.over {
            let hinted = *self.hint.borrow_and_update();
            if self.unsure || hinted > self.after {
                let Ok(page) = self.read().await else {
                    return Some(self.broken());
                };
                self.unsure &= !page.is_empty();
                let chunk = self.show(&page);
                if !chunk.is_empty() {
                    self.beat.reset();
                    return Some(chunk);
                }
                if !page.is_empty() {
                    continue;
                }
                if self.has_ended {
                    // The rest was retired meanwhile.
                    return Some(self.broken());
                }
            }
            if last_look {
                return Some(self.broken());
            }
            match self.wake().await {
                Woken::Events => {}
                Woken::RunIsOver => {
                    last_look = true;
                    self.unsure = true;
                }
                // The client comes back, to whoever has the run then, with the last number it saw.
                Woken::RunGoesOnElsewhere => {
                    self.over = true;
                    let page = self.read().await.unwrap_or_default();
                    let chunk = self.show(&page);
                    return (!chunk.is_empty()).then_some(chunk);
                }
                // A hint may come from another process and be lost.
                Woken::Heartbeat => {
                    self.unsure = true;
                    return Some(KEEP_ALIVE.to_vec());
                }
            }
        }
        None
    }

    async fn read(&self) -> Result<Vec<LoggedEvent>, StoreError> {
        let mut attempt = 1;
        loop {
            let store = self.runs.store();
            match store.read(&self.run, self.after, PAGE_EVENTS).await {
                Err(error) if attempt < READ_ATTEMPTS => {
                    tracing::warn!(run = %self.run, %error, "reading a run's log failed");
                    tokio::time::sleep(READ_WAIT).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    fn show(&mut self, page: &[LoggedEvent]) -> Vec<u8> {
        let mut chunk = Vec::new();
        for logged in page {
            self.after = logged.seq;
            if let Some(data) = self.data(logged) {
                write_message(&mut chunk, Some(logged.seq), &data);
            }
            if matches!(logged.event, Event::Done { .. }) {
                self.over = true;
                break;
            }
        }
        chunk
    }

    fn data(&self, logged: &LoggedEvent) -> Option<String> {
        let data = match self.view {
            View::Events => serde_json::to_string(logged),
            View::Frames(options) => {
                serde_json::to_string(&Frame::of(&self.run, &logged.event, options)?)
            }
        };
        let report = |error| tracing::error!(run = %self.run, %error, "an event cannot be shown");
        data.map_err(report).ok()
    }

    async fn wake(&mut self) -> Woken {
        if self.departing.is_none() {
            self.departing = self.runs.departing(&self.run);
        }
        let departed = async {
            match &mut self.departing {
                Some(departing) => departing.departed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = self.hint.changed() => Woken::Events,
            departure = departed => match departure {
                Departure::Ended => Woken::RunIsOver,
                Departure::GoesOn => Woken::RunGoesOnElsewhere,
                // What it says next comes from whoever takes it up.
                Departure::Parked => {
                    self.departing = None;
                    self.unsure = true;
                    Woken::Events
                }
            },
            () = self.runs.closed().cancelled() => Woken::RunGoesOnElsewhere,
            _ = self.beat.tick() => Woken::Heartbeat,
        }
    }

    /// The end of a stream whose log has none. These frames are not in the log, so they carry no
    /// id: a client that comes back goes on where the log stopped.
    fn broken(&mut self) -> Vec<u8> {
        self.over = true;
        let mut chunk = Vec::new();
        for event in unlogged_end() {
            let data = match self.view {
                View::Events => Some(json!({ "at_ms": now_ms(), "event": event }).to_string()),
                View::Frames(options) => Frame::of(&self.run, &event, options)
                    .and_then(|frame| serde_json::to_string(&frame).ok()),
            };
            if let Some(data) = data {
                write_message(&mut chunk, None, &data);
            }
        }
        chunk
    }
}

fn unlogged_end() -> [Event; 2] {
    let why = "the run's log cannot be read or written any more; the server's log says why";
    let error = Event::Error {
        kind: FailureKind::Internal,
        message: why.to_owned(),
        retrying: false,
        attempt: 1,
    };
    let done = Event::Done {
        outcome: Outcome::Failed(FailureKind::Internal),
        summary: why.to_owned(),
        pr_url: None,
        branch: None,
        has_patch: false,
        usage: RunUsage::default(),
    };
    [error, done]
}

/// JSON has no line breaks outside strings and escapes them inside, so one `data:` line holds it.
fn write_message(chunk: &mut Vec<u8>, id: Option<u64>, data: &str) {
    if let Some(id) = id {
        chunk.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    chunk.extend_from_slice(b"data: ");
    chunk.extend_from_slice(data.as_bytes());
    chunk.extend_from_slice(b"\n\n");
}
