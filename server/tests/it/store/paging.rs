//! The part of the contract that is about lists of runs, page by page.

use pullwright_core::store::{NewRun, OutcomeFilter, RunFilter, RunPlace};
use pullwright_protocol::{FailureKind, Outcome};

use super::contract::{LEASE, Store, new};
use super::owners::new_of;
use crate::support::{done, id};

/// The ids of all runs of `filter`, page by page; `between` is done after each page.
async fn paged(
    store: &Store,
    filter: &RunFilter,
    limit: usize,
    between: impl AsyncFn(usize),
) -> Vec<String> {
    let (mut after, mut ids) = (None::<RunPlace>, Vec::new());
    for page_number in 0.. {
        let page = store.page(filter, after.as_ref(), limit).await;
        let page = page.expect("a page");
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { break };
        after = Some(last.into());
        ids.extend(page.into_iter().map(|run| run.id.0));
        between(page_number).await;
    }
    ids
}

async fn create(store: &Store, run: &str, owner: Option<&str>, at_ms: u64) {
    let new = NewRun {
        at_ms,
        ..new_of(owner, run, None)
    };
    store.create(new).await.expect("create");
}

/// Runs that come while somebody turns pages neither repeat nor hide any that were there before. Some
/// were created in the same millisecond.
pub(super) async fn pages_hold_each_run_once(store: Store) {
    let names: Vec<String> = (0..9).map(|n| format!("run-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let owner = Some(["ann", "bob"][n % 2]);
        create(&store, name, owner, 1000 + n as u64 / 4).await;
    }
    let newest_first: Vec<String> = names.iter().rev().cloned().collect();
    let everything = RunFilter::default();
    let of_ann = RunFilter {
        owner: Some("ann".to_owned()),
        ..RunFilter::default()
    };
    for limit in [1, 2, 3, 4, 9, 10] {
        let meanwhile = async |page: usize| {
            let name = format!("later-{limit}-{page}");
            create(&store, &name, Some("ann"), 5000 + page as u64).await;
        };
        let seen = paged(&store, &everything, limit, meanwhile).await;
        let seen: Vec<_> = without_later(seen);
        assert_eq!(seen, newest_first, "{limit} at a time");
        let seen = without_later(paged(&store, &of_ann, limit, async |_| ()).await);
        let even: Vec<_> = newest_first.iter().step_by(2).cloned().collect();
        assert_eq!(seen, even, "{limit} at a time, of one owner");
    }
    let end = RunPlace {
        created_at_ms: 0,
        id: id("z"),
    };
    let nothing = store.page(&everything, Some(&end), 10).await;
    assert!(nothing.expect("a page").is_empty());
}

/// Those that came before the first list are older than those that came after.
fn without_later(ids: Vec<String>) -> Vec<String> {
    let is_old = |id: &String| !id.starts_with("later-");
    ids.into_iter().filter(is_old).collect()
}

pub(super) async fn lists_are_filtered(store: Store) {
    let ends = [
        ("a", Some(Outcome::NoChanges)),
        ("b", Some(Outcome::Failed(FailureKind::Clone))),
        ("c", None),
        ("d", Some(Outcome::Failed(FailureKind::RateLimited))),
        ("e", Some(Outcome::PullRequest)),
    ];
    for (run, outcome) in ends {
        let mut new = new(run, "do it", None);
        if run == "e" {
            new.request.repo_url = "https://git.example/o\"ther'.git".to_owned();
        }
        store.create(new).await.expect("create");
        if let Some(outcome) = outcome {
            let run = id(run);
            let epoch = store.claim(&run, "worker", LEASE).await.expect("claim");
            let finish = store.finish(&run, epoch, outcome, done(1, outcome));
            finish.await.expect("finish");
        }
    }
    let outcome = |text: &str| RunFilter {
        outcome: Some(text.parse::<OutcomeFilter>().expect("an outcome")),
        ..RunFilter::default()
    };
    let urls = |urls: &[&str]| RunFilter {
        repo_urls: Some(urls.iter().map(|url| (*url).to_owned()).collect()),
        ..RunFilter::default()
    };
    let both = RunFilter {
        owner: Some("nobody".to_owned()),
        ..outcome("failed")
    };
    let of_repo = |filter| RunFilter {
        repo_urls: Some(vec!["https://github.com/owner/repo".to_owned()]),
        ..filter
    };
    let table: [(RunFilter, &[&str]); 14] = [
        (outcome("no changes"), &["a"]),
        (outcome("failed(clone)"), &["b"]),
        (outcome("failed(rate_limited)"), &["d"]),
        (outcome("failed"), &["d", "b"]),
        (outcome("under way"), &["c"]),
        (outcome("cancelled"), &[]),
        (
            urls(&["https://github.com/owner/repo"]),
            &["d", "c", "b", "a"],
        ),
        (urls(&["x", "https://git.example/o\"ther'.git"]), &["e"]),
        (
            urls(&[
                "https://github.com/owner/repo",
                "https://github.com/owner/repo",
            ]),
            &["d", "c", "b", "a"],
        ),
        (
            urls(&[
                "https://git.example/o\"ther'.git",
                "https://github.com/owner/repo",
            ]),
            &["e", "d", "c", "b", "a"],
        ),
        (of_repo(outcome("failed")), &["d", "b"]),
        (of_repo(outcome("failed(clone)")), &["b"]),
        (urls(&[]), &[]),
        (both, &[]),
    ];
    for (filter, expected) in table {
        for limit in [1, 10] {
            let ids = paged(&store, &filter, limit, async |_| ()).await;
            assert_eq!(ids, expected, "{filter:?}");
        }
    }
}
