//! What Pullwright costs apart from the model, beside a bare loop that does only what nobody can do
//! without. `cargo bench` prints the table; `cargo bench -- --quick` takes fewer samples.
//!
//! Machines differ and so does their load: what counts are the ratios within one run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on stops, and its table is its purpose"
)]

mod bare;
mod cpu;
mod egress;
mod first_frame;
mod links;
mod modal;
mod model;
mod repository;
mod requests;
mod sample;
mod sandbox;
mod server;
mod store;
mod streams;
mod tools;
mod turns;
mod wires;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) first_frames: usize,
    pub(crate) turns: usize,
    pub(crate) calls: usize,
    pub(crate) events: usize,
    pub(crate) files: usize,
    pub(crate) repeats: usize,
    pub(crate) sandboxes: usize,
    pub(crate) pieces: usize,
}

const FULL: Effort = Effort {
    first_frames: 200,
    turns: 200,
    calls: 300,
    events: 300,
    files: 5_000,
    repeats: 5,
    sandboxes: 300,
    pieces: 3_000,
};

/// Enough to see that everything works: `cargo test --benches` runs it too.
const QUICK: Effort = Effort {
    first_frames: 3,
    turns: 12,
    calls: 10,
    events: 10,
    files: 100,
    repeats: 1,
    sandboxes: 5,
    pieces: 300,
};

type Part = (&'static str, fn(Effort));

const PARTS: &[Part] = &[
    ("turns", turns::measure),
    ("first_frame", first_frame::measure),
    ("tools", tools::measure),
    ("links", links::measure),
    ("store", store::measure),
    ("streams", streams::measure),
    ("requests", requests::measure),
    ("repository", repository::measure),
    ("sandbox", sandbox::measure),
    ("egress", egress::measure),
    ("modal", modal::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == [links::SERVE_WORDS] {
        return links::serve_words();
    }
    // Cargo passes `--bench` when it benchmarks, and does not when it only tests.
    let full = arguments.iter().any(|argument| argument == "--bench");
    let quick = arguments
        .iter()
        .any(|argument| argument == "--quick" || argument == "--test");
    let effort = if full && !quick { FULL } else { QUICK };
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    println!(
        "| {:<52} | {:>9} | {:>9} | {:>9} |",
        "ms", "min", "p50", "p95"
    );
    println!("|{:-<54}|{:->11}|{:->11}|{:->11}|", "", ":", ":", ":");
    for (name, measure) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            measure(effort);
        }
    }
}
