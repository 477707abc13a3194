//! A repository of many files: out of the mirror, and the work back in.

use std::path::Path;
use std::time::Instant;

use pullwright_core::source::{Base, CheckoutFiles, Fetch, Source};
use pullwright_git::ExportOptions;
use pullwright_protocol::RunId;
use pullwright_source::{GitSource, SourceConfig};

use crate::Effort;
use crate::sample::Sample;
use crate::server::{make_repository, open_folder};

/// How many files a folder of the sample holds.
const FILES_PER_FOLDER: usize = 50;

/// Names of rows start with how many files there are.
pub(crate) fn measure(effort: Effort) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let folder = open_folder();
        let remote = folder.path().join("remote");
        let files: Vec<(String, String)> = (0..effort.files).map(file).collect();
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.clone()))
            .collect();
        make_repository(&remote, &files);
        let mut rows: [Sample; 5] = Default::default();
        for round in 0..effort.repeats {
            one_round(folder.path(), &remote, round, &mut rows).await;
        }
        let names = [
            "fetch into a new mirror",
            "fetch again",
            "checkout",
            "export",
            "take in",
        ];
        for (name, row) in names.iter().zip(&rows) {
            row.print(&format!("{} files: {name}", effort.files));
        }
    });
}

async fn one_round(folder: &Path, remote: &Path, round: usize, rows: &mut [Sample; 5]) {
    let [first, again, checkout, export, take_in] = rows;
    let data = folder.join(format!("data-{round}"));
    let config = SourceConfig {
        allow_local_paths: true,
        ..SourceConfig::new(data.clone())
    };
    let source = GitSource::new(config).unwrap();
    let begin = Instant::now();
    fetch(&source, remote).await;
    first.since(begin);
    let begin = Instant::now();
    let base = fetch(&source, remote).await;
    again.since(begin);

    let run = RunId("bench".to_owned());
    let workspace = source.run_dir(&run).unwrap().join("workspace");
    std::fs::create_dir_all(workspace.parent().unwrap()).unwrap();
    let begin = Instant::now();
    source
        .checkout(&base, None, CheckoutFiles::Written, &workspace)
        .await
        .unwrap();
    checkout.since(begin);

    std::fs::write(workspace.join("folder-0/file-0.txt"), "changed\n").unwrap();
    let mut bundle = Vec::new();
    let begin = Instant::now();
    pullwright_git::export(
        &workspace,
        &base.commit,
        &ExportOptions::default(),
        &mut bundle,
    )
    .unwrap();
    export.since(begin);

    let begin = Instant::now();
    let work = source
        .take_in(&run, &base, &mut bundle.as_slice())
        .await
        .unwrap();
    take_in.since(begin);
    assert_eq!(work.changed.len(), 1);
}

async fn fetch(source: &GitSource, remote: &Path) -> Base {
    let repository = source.accept(remote.to_str().unwrap()).unwrap();
    let fetch = Fetch {
        repository: &repository,
        branch: None,
        commit: None,
        since: None,
        credential: None,
    };
    source.fetch(fetch).await.unwrap()
}

fn file(number: usize) -> (String, String) {
    let path = format!("folder-{}/file-{number}.txt", number / FILES_PER_FOLDER);
    (path, format!("the content of file {number}\n").repeat(20))
}
