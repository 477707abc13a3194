//! The table, and what must hold.

use crate::latency::Latencies;
use crate::scene::{Figures, Scene};

/// With so many runs, the server's memory stays below this.
const MEMORY_RUNS: usize = 500;
const MEMORY_MIB: f64 = 2048.0;

/// With so many runs, 99 of 100 events are at their clients within this, in milliseconds.
const LATENCY_RUNS: usize = 200;
const LATENCY_MS: u64 = 100;

/// The part of a bare insert's speed that the store has at least with so many runs: through their logs, and
/// where each run waits for each of its events.
const APPEND_RUNS: usize = 500;
const APPEND_RATIO: f64 = 0.5;
const WAITING_RATIO: f64 = 0.1;

const HEADS: [(&str, usize); 15] = [
    ("sandbox", 7),
    ("runs", 4),
    ("at once", 7),
    ("clients", 7),
    ("events/s", 8),
    ("frames/s", 8),
    ("work p50/p95/p99", 16),
    ("start p99", 9),
    ("end p99", 7),
    ("peak MiB", 8),
    ("MiB/run", 7),
    ("CPU s/run", 9),
    ("children's", 10),
    ("files, db", 9),
    ("append/s: logs, waiting, bare, ratios", 37),
];

/// Latencies are in milliseconds. Memory and files are those of the server process; what it has open is seen
/// every two seconds and before each gate. A run's memory has its share of the clients' in it. The ratios are
/// those of the logs and of waiting to the bare insert.
pub(crate) fn print_head() {
    print(HEADS.map(|(head, _)| head.to_owned()));
    print(HEADS.map(|(_, width)| "-".repeat(width)));
}

pub(crate) fn print_row(scene: &Scene, figures: &Figures) {
    let Figures {
        heard,
        before,
        after,
        appended,
        ..
    } = figures;
    let runs = scene.runs as f64;
    let [p50, p95, p99] = [50, 95, 99].map(|percent| heard.working.percentile(percent));
    let p99_of = |latencies: &Latencies| latencies.percentile(99).to_string();
    print([
        scene.sandbox.to_owned(),
        scene.runs.to_string(),
        figures.at_once.to_string(),
        scene.clients.to_string(),
        format!("{:.0}", heard.events_per_second()),
        format!("{:.0}", heard.frames_per_second()),
        format!("{p50} / {p95} / {p99}"),
        p99_of(&heard.starting),
        p99_of(&heard.ending),
        format!("{:.0}", after.peak_mib),
        format!("{:.2}", (after.peak_mib - before.resident_mib) / runs),
        format!("{:.3}", (after.own_cpu - before.own_cpu) / runs),
        format!("{:.3}", (after.children_cpu - before.children_cpu) / runs),
        format!("{}, {}", after.peak.files, after.peak.databases),
        format!(
            "{:.0}, {:.0}, {:.0}, {:.2}, {:.2}",
            appended.by_logs,
            appended.one_by_one,
            appended.bare,
            appended.ratio(),
            appended.waiting_ratio()
        ),
    ]);
    if let Some(first) = heard.refused.first() {
        let times = heard.refused.len();
        println!("  {times} times a client was sent away and came back: {first}");
    }
}

/// What must hold and does not.
pub(crate) fn broken(scene: &Scene, figures: &Figures) -> Vec<String> {
    let mut broken = Vec::new();
    let peak = figures.after.peak_mib;
    if scene.runs == MEMORY_RUNS && peak >= MEMORY_MIB {
        broken.push(format!(
            "{scene}: {peak:.0} MiB of memory, not below {MEMORY_MIB:.0}"
        ));
    }
    let p99 = figures.heard.working.percentile(99);
    if scene.runs == LATENCY_RUNS && p99 >= LATENCY_MS {
        broken.push(format!(
            "{scene}: {p99} ms to the client at p99, not below {LATENCY_MS}"
        ));
    }
    for (path, ratio, least) in [
        ("logs", figures.appended.ratio(), APPEND_RATIO),
        ("waiting", figures.appended.waiting_ratio(), WAITING_RATIO),
    ] {
        if scene.runs == APPEND_RUNS && ratio < least {
            broken.push(format!(
                "{scene}: appends ({path}) at {ratio:.2} of a bare insert, not {least}"
            ));
        }
    }
    broken
}

fn print(cells: [String; HEADS.len()]) {
    let padded = cells.iter().zip(HEADS);
    let line: Vec<String> = padded
        .map(|(cell, (_, width))| format!("{cell:>width$}"))
        .collect();
    println!("| {} |", line.join(" | "));
}
