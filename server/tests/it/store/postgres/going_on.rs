//! Runs that change their server, where the servers share nothing but the database.

use std::time::Duration;

use futures_util::future::join_all;
use pullwright::runs::{Patience, RunsConfig};
use pullwright_protocol::Outcome;

use super::open;
use super::server::Server;
use crate::registry::stage::{self, Stage, one_place};
use crate::support::in_time;

const UNHURRIED: Patience = Patience {
    soon: Duration::from_secs(3600),
    now: Duration::from_secs(3600),
};

fn places(max_concurrent: usize) -> RunsConfig {
    RunsConfig {
        max_concurrent,
        ..one_place(100)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopping_server_hands_over_goes_on_at_another_at_once() {
    let Some(postgres) = Server::shared("a hand-over between servers") else {
        return;
    };
    let url = postgres.database().await;
    let (here, there) = (Stage::on(open(&url).await), Stage::on(open(&url).await));
    let (one, two) = (here.server(places(1)), there.server(places(2)));
    let (working, waiting) = (one.start("wait").await, one.start("wait").await);
    one.actor.until_begun(&working).await;
    here.until_said(&waiting, "1st in the queue").await;
    assert_eq!(two.recover().await, 0, "they have an owner");
    let parted = in_time(one.runs.hand_over(UNHURRIED)).await;
    assert_eq!((parted.handed_over, parted.abandoned), (2, 0));
    assert_eq!(two.recover().await, 2);
    for run in [&working, &waiting] {
        let owned = two.actor.until_begun(run).await;
        assert!(owned.is_resumed);
        assert_eq!(owned.last_seq, 3, "all that was said there");
        two.actor.end(run);
        assert_eq!(there.until_ended(run).await, Outcome::NoChanges);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runs_of_a_dead_server_spread_over_the_others() {
    let Some(postgres) = Server::shared("runs of a dead server") else {
        return;
    };
    let url = postgres.database().await;
    let mut stages = Vec::new();
    for _ in 0..3 {
        stages.push(Stage::on(open(&url).await));
    }
    let mut runs = Vec::new();
    for number in 0..7 {
        runs.push(stages[0].orphan(&format!("left-{number}"), "wait", 3).await);
    }
    let servers: Vec<_> = stages.iter().map(|stage| stage.server(places(2))).collect();
    let at_work = || {
        servers
            .iter()
            .map(|server| server.actor.at_work())
            .sum::<usize>()
    };
    // Six have a place, wherever that is. A look passes over what another one looks at.
    let begun = async {
        while at_work() < 6 {
            join_all(servers.iter().map(stage::Server::recover)).await;
        }
    };
    in_time(begun).await;
    assert!(servers.iter().all(|server| server.actor.at_work() == 2));
    let orphans = stages[0].store.orphans().await.expect("orphans");
    assert_eq!(orphans.len(), 1);
    assert_eq!(servers[1].recover().await, 0, "it waits there");
    let ended = servers[1].actor.begun().remove(0);
    servers[1].actor.end(&ended);
    servers[1].actor.until_begun(&orphans[0]).await;
    let begun: usize = servers
        .iter()
        .map(|server| server.actor.begun().len())
        .sum();
    assert_eq!(begun, runs.len(), "each once");
}
