//! One client of one run.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::log::now_ms;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::{Heard, Stations};
use crate::script::LAST_CALL;

/// How long a client waits before it comes back.
const COME_BACK: Duration = Duration::from_secs(1);

/// What a client has seen of a run. The numbers came without loss and without doubling.
pub(super) struct Followed {
    pub(super) events: u64,
    /// What the server said each time it was too busy to take the client.
    pub(super) refused: Vec<String>,
    arrivals: Vec<Arrival>,
    connected_ms: u64,
}

struct Arrival {
    at_ms: u64,
    arrived_ms: u64,
}

/// The parts of an event that matter here.
#[derive(Deserialize)]
struct Logged {
    seq: u64,
    at_ms: u64,
    event: Kind,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
    outcome: Option<String>,
}

/// Follows a run to its end. One client of each run reports where the run stands.
pub(super) async fn follow(
    client: Client,
    url: String,
    stations: Arc<Stations>,
    reports: bool,
) -> Followed {
    let (mut reply, refused) = connect(&client, &url).await;
    stations.begin.one_less();
    let mut calls = 0;
    let mut followed = Followed {
        events: 0,
        refused,
        arrivals: Vec::new(),
        connected_ms: now_ms(),
    };
    let mut unread = Vec::new();
    while let Some(piece) = reply.chunk().await.unwrap() {
        let arrived_ms = now_ms();
        unread.extend_from_slice(&piece);
        for logged in take_events(&mut unread) {
            followed.take(&logged, arrived_ms);
            calls += usize::from(logged.event.r#type == "tool_started");
            if reports && logged.event.r#type == "tool_started" {
                match calls {
                    1 => stations.begin.one_less(),
                    LAST_CALL => stations.end.one_less(),
                    _ => {}
                }
            }
            if logged.event.r#type == "done" {
                assert_eq!(
                    logged.event.outcome.as_deref(),
                    Some("branch only"),
                    "{url}"
                );
                return followed;
            }
        }
    }
    panic!("{url} ended after event {}", followed.events);
}

/// As an event source does, it comes back to a server that is too busy.
async fn connect(client: &Client, url: &str) -> (Response, Vec<String>) {
    let mut refused = Vec::new();
    loop {
        let reply = client.get(url).send().await.unwrap();
        match reply.status() {
            StatusCode::OK => return (reply, refused),
            StatusCode::SERVICE_UNAVAILABLE => refused.push(reply.text().await.unwrap()),
            status => panic!("{url}: {status}"),
        }
        tokio::time::sleep(COME_BACK).await;
    }
}

/// Takes the whole messages out of what has arrived.
fn take_events(unread: &mut Vec<u8>) -> Vec<Logged> {
    let end = unread.windows(2).rposition(|two| two == b"\n\n");
    let rest = unread.split_off(end.map_or(0, |end| end + 2));
    let whole = std::mem::replace(unread, rest);
    let lines = whole.split(|byte| *byte == b'\n');
    let data = lines.filter_map(|line| line.strip_prefix(b"data: "));
    data.map(|json| serde_json::from_slice(json).unwrap())
        .collect()
}

impl Followed {
    fn take(&mut self, logged: &Logged, arrived_ms: u64) {
        assert_eq!(logged.seq, self.events + 1, "an event is lost or doubled");
        self.events = logged.seq;
        self.arrivals.push(Arrival {
            at_ms: logged.at_ms,
            arrived_ms,
        });
    }

    /// Adds what arrived live. What had happened before the client came has no latency.
    pub(super) fn sort_into(self, heard: &mut Heard, work: &RangeInclusive<u64>, counts: bool) {
        heard.refused.extend(self.refused);
        let connected_ms = self.connected_ms;
        let live = self.arrivals.iter();
        for arrival in live.filter(|arrival| arrival.at_ms >= connected_ms) {
            let latency = arrival.arrived_ms.saturating_sub(arrival.at_ms);
            if arrival.at_ms < *work.start() {
                heard.starting.add(latency);
            } else if arrival.at_ms > *work.end() {
                heard.ending.add(latency);
            } else {
                heard.working.add(latency);
                heard.events += u64::from(counts);
            }
        }
    }
}
