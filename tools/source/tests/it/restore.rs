//! Work that was taken in is found again, on the same machine and on another.

use std::os::unix::fs::symlink;
use std::path::Path;

use pullwright_core::source::{Base, CheckoutFiles, Fetch, Source, SourceError, Work};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig};

use crate::lab::{Lab, bundle, commit, fetch, git, run, take_in};

/// Every kind of change there is.
fn change(folder: &Path) {
    std::fs::write(folder.join("README.md"), "# two\nno line end").unwrap();
    std::fs::write(folder.join("binary"), b"\x00\x01\xff").unwrap();
    std::fs::write(folder.join("caf\u{e9} \"quoted\"\ttab"), "name\n").unwrap();
    std::fs::remove_file(folder.join("src/lib.rs")).unwrap();
    std::fs::remove_file(folder.join("link")).unwrap();
    symlink("run.sh", folder.join("link")).unwrap();
    git(folder, &["update-index", "--chmod=-x", "run.sh"]);
    std::fs::write(folder.join("crlf"), "one\r\ntwo \r\n").unwrap();
}

async fn taken_in(lab: &Lab, source: &GitSource, base: &Base) -> Work {
    let sandbox = lab.sandbox(source, base).await;
    change(&sandbox);
    commit(&sandbox, "work");
    let bundle = bundle(&sandbox, &base.commit);
    take_in(source, base, &bundle).await.unwrap()
}

/// A source on another machine, and the base there.
async fn elsewhere(lab: &Lab) -> (GitSource, Base) {
    let config = SourceConfig {
        allow_local_paths: true,
        ..SourceConfig::new(lab.path("other-data"))
    };
    let source = GitSource::new(config).unwrap();
    let remote = lab.bare();
    let base = fetch(&source, remote.to_str().unwrap(), None, None).await;
    (source, base.unwrap())
}

#[tokio::test]
async fn it_is_found_in_its_quarantine() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = taken_in(&lab, &source, &base).await;
    let again = source.restore(&run(), &base, Some(&work.tree), b"").await;
    assert_eq!(again.unwrap(), work);
}

#[tokio::test]
async fn it_is_made_anew_from_its_patch() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = taken_in(&lab, &source, &base).await;
    let (other, base) = elsewhere(&lab).await;
    let again = other
        .restore(&run(), &base, Some(&work.tree), &work.patch)
        .await;
    let again = again.unwrap();
    assert_eq!((&again.tree, &again.patch), (&work.tree, &work.patch));
    assert_eq!(again.changed, work.changed);
    let into = lab.path("again");
    other
        .checkout(&base, Some(&again), CheckoutFiles::Written, &into)
        .await
        .unwrap();
    assert_eq!(std::fs::read(into.join("binary")).unwrap(), b"\x00\x01\xff");
    assert_eq!(
        std::fs::read(into.join("crlf")).unwrap(),
        b"one\r\ntwo \r\n"
    );
}

#[tokio::test]
async fn a_patch_that_leads_elsewhere_is_told_by_its_tree() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = taken_in(&lab, &source, &base).await;
    let (other, base) = elsewhere(&lab).await;
    let empty = other
        .restore(&run(), &base, Some(&work.tree), b"")
        .await
        .unwrap();
    assert_eq!(empty.tree, base.tree);
}

#[tokio::test]
async fn a_patch_that_does_not_fit_is_refused_and_leaves_nothing() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let tree = base.tree.clone();
    let outside = "diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n";
    let inside_git = outside.replace("../x", ".git/hooks/post-checkout");
    for patch in ["not a patch", outside, &inside_git] {
        let unknown = tree.replace(|digit: char| digit.is_ascii_digit(), "a");
        let run = run();
        let refused = source.restore(&run, &base, Some(&unknown), patch.as_bytes());
        let refused: SourceError = refused.await.expect_err(patch);
        assert_eq!(refused.kind, FailureKind::Internal, "{refused}");
    }
    let left = std::fs::read_dir(lab.data().join("runs").join(run().0)).unwrap();
    assert_eq!(left.count(), 0);
}

/// The branch has moved, and even been rewritten, since the run began.
#[tokio::test]
async fn a_run_goes_on_from_its_own_commit() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let seed = lab.path("seed");
    git(
        &seed,
        &[
            "commit",
            "-q",
            "--amend",
            "--allow-empty",
            "-m",
            "rewritten",
        ],
    );
    let bare = lab.bare();
    git(&seed, &["push", "-q", "-f", bare.to_str().unwrap(), "main"]);
    let found = fetch_at(&source, &base, &base.commit).await.unwrap();
    assert_eq!(found, base);
    let config = SourceConfig {
        allow_local_paths: true,
        ..SourceConfig::new(lab.path("other-data"))
    };
    let other = GitSource::new(config).unwrap();
    let gone = fetch_at(&other, &base, &base.commit)
        .await
        .expect_err("gone");
    assert_eq!(gone.kind, FailureKind::Repository);
    assert!(
        gone.message.contains("no longer in branch `main`"),
        "{gone}"
    );
}

async fn fetch_at(source: &GitSource, base: &Base, commit: &str) -> Result<Base, SourceError> {
    let fetch = Fetch {
        repository: &base.repository,
        branch: Some(&base.branch),
        commit: Some(commit),
        since: None,
        credential: None,
    };
    source.fetch(fetch).await
}
