//! Servers take turns to retire runs.

use pullwright::retention::Passed;

use super::server::Server;
use super::{contract, open};
use crate::store::retention::{ended, retirement, tomorrow};
use crate::support::in_time;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_at_a_time_retires_runs() {
    let Some(server) = Server::shared("servers that retire runs") else {
        return;
    };
    let url = server.database().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let (run, log) = ended(&one, "a", 3).await;
    let turn = one.turn().await.expect("a turn").expect("it is free");
    let passed = retirement(&other, None).pass(tomorrow()).await;
    assert_eq!(
        passed.expect("a pass"),
        Passed::default(),
        "it is not its turn"
    );
    assert_eq!(contract::all(&other, &run).await, log);
    drop(turn);
    let passed = in_time(async {
        loop {
            // The database hears a moment later that the connection is gone.
            let passed = retirement(&other, None).pass(tomorrow()).await;
            match passed.expect("a pass").retired {
                0 => tokio::task::yield_now().await,
                retired => return retired,
            }
        }
    });
    assert_eq!(passed.await, 1);
    assert!(contract::all(&one, &run).await.is_empty());
}
