//! What a repository's first fetch and checkout cost in each mode of cloning.

use std::path::Path;

use pullwright_core::config::CloneMode;
use pullwright_core::source::{CheckoutFiles, Source};
use pullwright_source::{GitSource, SourceConfig};

use crate::http_backend::{Behaviour, HttpBackend};
use crate::repository::{self, Scale};
use crate::times::Times;

/// What one mode has cost.
#[derive(Default)]
struct Cost {
    fetch: Times,
    checkout: Times,
    sent: usize,
    mirror: u64,
    repository: u64,
}

/// Prints a row for each mode.
pub(crate) async fn measure(scale: &Scale) {
    let folder = tempfile::tempdir().unwrap();
    let remote = folder.path().join("remote");
    repository::make(&remote.join("r.git"), scale);
    let filter = ["config", "uploadpack.allowFilter", "true"];
    repository::git(&remote.join("r.git"), &filter);
    let rounds = scale.rounds.div_ceil(3);
    println!("the first fetch of a repository, and a run's first checkout; {rounds} rounds");
    println!(
        "| clone | fetch: fastest ms | median | processor, mean | checkout: fastest ms | median | processor, mean | \
         sent, MiB | mirror on disk, MiB | checkout's .git, MiB |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for mode in CloneMode::ALL {
        let mut cost = Cost::default();
        for _ in 0..rounds {
            cost.add(mode, &remote, folder.path()).await;
        }
        println!(
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} |",
            mode.as_str(),
            cost.fetch,
            cost.checkout,
            mib(cost.sent as u64),
            mib(cost.mirror),
            mib(cost.repository)
        );
    }
}

impl Cost {
    async fn add(&mut self, mode: CloneMode, remote: &Path, folder: &Path) {
        let server = HttpBackend::start(remote.to_owned(), Behaviour::Open).await;
        let data = folder.join("modes");
        let source = GitSource::new(SourceConfig {
            hosts: vec![server.host()],
            clone_mode: mode,
            ..SourceConfig::new(data.join("data"))
        });
        let source = source.unwrap();
        let begin = Times::begin();
        let base = crate::fetch(&source, &server.url("r.git")).await;
        self.fetch.end(begin);
        let into = data.join("checkout");
        let begin = Times::begin();
        let made = source.checkout(&base, None, CheckoutFiles::Written, &into);
        made.await.unwrap();
        self.checkout.end(begin);
        self.sent = server.sent();
        self.mirror = size(&base.mirror.join("objects"));
        self.repository = size(&into.join(".git"));
        std::fs::remove_dir_all(data).unwrap();
    }
}

/// Of all files below a folder, in bytes.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| match entry.metadata().unwrap() {
        data if data.is_dir() => size(&entry.path()),
        data => data.len(),
    });
    sizes.sum()
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
