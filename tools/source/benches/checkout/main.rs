//! What a run's checkout costs beside the cheapest one that git has: `cargo bench -p pullwright-source` prints
//! both and their ratio, and `-- --must-hold` ends with an error if it is not below 1.5.
//!
//! A run asks the remote whether its branch has moved, which it has not, and then makes a checkout that shares
//! nothing with the mirror. Git's is a clone that borrows all objects of the same mirror, so that nothing but the
//! files is written. The two take turns, so that whatever else this machine does meets both, and the fastest of
//! each are compared.
//!
//! Another table has what the first fetch of a repository costs in each mode of cloning; `-- --modes` prints only that.
//!
//! Remote and mirror share one machine, and the remote answers over HTTP. On a machine that is busy with other things
//! only the processor time says something; that of a run's checkout has the remote's share in it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on stops, and its table is its purpose"
)]

#[path = "../../tests/it/http_backend.rs"]
mod http_backend;
mod modes;
mod repository;
mod times;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use http_backend::{Behaviour, HttpBackend};
use pullwright_core::source::{Base, CheckoutFiles, Fetch, Source};
use pullwright_source::{GitSource, SourceConfig};
use repository::Scale;
use times::Times;

/// How much slower than git's own a run's checkout may be.
const MAX_RATIO: f64 = 1.5;

const FULL: Scale = Scale {
    files: 5000,
    commits: 400,
    rounds: 15,
};

/// Enough to see that everything works: `cargo test --benches` runs it too.
const QUICK: Scale = Scale {
    files: 50,
    commits: 5,
    rounds: 2,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let scale = match is_given("--bench") && !is_given("--quick") {
        true => FULL,
        false => QUICK,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(modes::measure(&scale));
    if is_given("--modes") {
        return ExitCode::SUCCESS;
    }
    let ratio = runtime.block_on(measure(&scale));
    match is_given("--must-hold") && ratio >= MAX_RATIO {
        true => {
            println!("does not hold: {ratio:.2} is not below {MAX_RATIO}");
            ExitCode::FAILURE
        }
        false => ExitCode::SUCCESS,
    }
}

/// Answers how many times as long as git's a run's checkout takes.
async fn measure(scale: &Scale) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    repository::make(&folder.path().join("remote/r.git"), scale);
    let server = HttpBackend::start(folder.path().join("remote"), Behaviour::Open).await;
    let source = GitSource::new(SourceConfig {
        hosts: vec![server.host()],
        ..SourceConfig::new(folder.path().join("data"))
    });
    let source = source.unwrap();
    let url = server.url("r.git");
    let base = fetch(&source, &url).await;
    keep_for_git(&base);
    let (mut ours, mut gits) = (Times::default(), Times::default());
    for round in 0..scale.rounds {
        let (into, clone) = (folder.path().join("checkout"), folder.path().join("clone"));
        // What was removed before weighs on whoever comes first.
        for is_ours in [round % 2 == 0, round % 2 == 1] {
            let begin = Times::begin();
            if is_ours {
                our_checkout(&source, &url, &into).await;
                ours.end(begin);
            } else {
                shared_clone(&base, &clone);
                gits.end(begin);
            }
        }
        for made in [into, clone] {
            assert_eq!(repository::count(&made), scale.files);
            std::fs::remove_dir_all(made).unwrap();
        }
    }
    report(scale, &ours, &gits)
}

/// A mirror's references are named so that a clone would not find its branch.
fn keep_for_git(base: &Base) {
    let branch = format!("refs/heads/{}", base.branch);
    let set = ["update-ref", branch.as_str(), base.commit.as_str()];
    repository::git(&base.mirror, &set);
}

async fn our_checkout(source: &GitSource, url: &str, into: &Path) {
    let base = fetch(source, url).await;
    let made = source.checkout(&base, None, CheckoutFiles::Written, into);
    made.await.unwrap();
}

async fn fetch(source: &GitSource, url: &str) -> Base {
    let repository = source.accept(url).unwrap();
    let fetch = Fetch {
        repository: &repository,
        branch: None,
        commit: None,
        since: None,
        credential: None,
    };
    source.fetch(fetch).await.unwrap()
}

fn shared_clone(base: &Base, into: &Path) {
    let cloned = Command::new("git")
        .args(["clone", "--quiet", "--shared", "--no-tags", "--branch"])
        .args([&base.branch, "--"])
        .args([&base.mirror, into])
        .stderr(Stdio::null())
        .status();
    assert!(cloned.unwrap().success());
}

fn report(scale: &Scale, ours: &Times, gits: &Times) -> f64 {
    let Scale {
        files,
        commits,
        rounds,
    } = scale;
    println!("{files} files, {commits} commits, {rounds} rounds; milliseconds");
    println!("| what | fastest | median | processor, mean |\n|---|---|---|---|");
    println!("| fetch of nothing new, and a run's checkout | {ours} |");
    println!("| git clone --shared | {gits} |");
    let ratio = ours.fastest_ms() / gits.fastest_ms();
    let processor = ours.mean_processor_ms() / gits.mean_processor_ms();
    println!("ratio: {ratio:.2} (of processor time: {processor:.2})");
    ratio
}
