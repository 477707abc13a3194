//! Many runs at once on the real `pullwright serve`, followed by many clients, while nothing else is
//! measured: `cargo bench --bench load` prints the table, `-- 50 200` only those rows, and
//! `-- --must-hold` ends with an error if the server needs more than it may.
//!
//! All runs of a row wait at a gate until the last of them has come there, and at another one when they have
//! done their work, so they are under way together on a machine of any speed. The model is a script and the sandbox `none`: what is measured is
//! the server, not the kernel's namespaces. One more row has the sandbox `local`.
//!
//! Clients, model, git remote and server share one machine. Latencies are from an event's `at_ms` to
//! its arrival at a client, in milliseconds, the commit to the disk included.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on stops, and its table is its purpose"
)]

mod append;
mod clients;
mod gate;
#[path = "../../../tools/source/tests/it/http_backend.rs"]
mod http_backend;
mod latency;
mod process;
mod remote;
mod report;
mod scene;
mod script;
mod server;

use std::process::ExitCode;

use scene::Scene;

/// How many clients follow the runs of a row, together.
const CLIENTS: usize = 1000;

/// Runs of a row, and of the row with the sandbox `local`.
const RUNS: [usize; 4] = [1, 50, 200, 500];
const LOCAL_RUNS: usize = 50;

/// Enough to see that everything works: `cargo test --benches` runs it too.
const QUICK: Scene = Scene {
    sandbox: "none",
    runs: 3,
    clients: 9,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let scenes = match is_given("--bench") && !is_given("--quick") {
        true => scenes(&arguments),
        false => vec![QUICK],
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let broken = runtime.block_on(measure(&scenes));
    match is_given("--must-hold") && broken {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Those whose number of runs is among the arguments; all if there is no number.
fn scenes(arguments: &[String]) -> Vec<Scene> {
    let wanted: Vec<usize> = arguments.iter().flat_map(|a| a.parse()).collect();
    let plain = RUNS.map(|runs| ("none", runs));
    let all = plain.into_iter().chain([("local", LOCAL_RUNS)]);
    let wanted = all.filter(|(_, runs)| wanted.is_empty() || wanted.contains(runs));
    let scene = |(sandbox, runs)| Scene {
        sandbox,
        runs,
        clients: CLIENTS,
    };
    wanted.map(scene).collect()
}

/// Answers whether something that must hold does not.
async fn measure(scenes: &[Scene]) -> bool {
    let mut broken = Vec::new();
    report::print_head();
    for scene in scenes {
        match scene.play().await {
            Ok(figures) => {
                report::print_row(scene, &figures);
                broken.extend(report::broken(scene, &figures));
            }
            Err(refusal) => println!("| {scene}: not measured: {refusal}"),
        }
    }
    println!();
    broken
        .iter()
        .for_each(|line| println!("does not hold: {line}"));
    !broken.is_empty()
}
