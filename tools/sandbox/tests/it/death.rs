//! What a run started dies with the server, however the server dies.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::bench::{Bench, gone, is_root, pids, runs, sh};

/// Tells this executable to be the server that is killed.
const BE_THE_SERVER: &str = "PULLWRIGHT_TEST_BE_THE_SERVER";

#[tokio::test]
async fn a_killed_server_takes_its_processes_along() {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "death::the_server",
            "--nocapture",
            "--include-ignored",
        ])
        .env(BE_THE_SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let started = lines.find_map(|line| line.strip_prefix("started ").map(ToOwned::to_owned));
    let pids: Vec<u32> = started
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(pids.iter().all(|pid| runs(*pid)), "{pids:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    gone(&pids).await;
}

#[tokio::test]
#[ignore = "it is the server that another test kills"]
async fn the_server() {
    if std::env::var_os(BE_THE_SERVER).is_none() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    // One that left the session is found by its user alone, which takes root.
    let (script, count) = match is_root() {
        true => (
            "echo $$; env -i setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000",
            2,
        ),
        false => ("echo $$; exec sleep 1000", 1),
    };
    let mut process = sandbox.spawn(sh(script)).await.unwrap();
    let pids = pids(&mut process, count).await;
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    println!("started {}", pids.join(" "));
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
}
