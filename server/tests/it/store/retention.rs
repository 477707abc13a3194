//! What becomes of runs that ended long ago, on any store.

use std::collections::BTreeMap;
use std::path::Path;

use pullwright::retention::{Archive, Passed, Retirement};
use pullwright_core::config::{Config, ServerConfig};
use pullwright_core::log::now_ms;
use pullwright_core::store::{Created, Retired, RunRecord, StoreError};
use pullwright_protocol::{LoggedEvent, Outcome, RunId};
use tempfile::TempDir;

use super::contract::{self, Store};
use crate::support::{done, id, status};

pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;

/// Later than any run of a test ends.
const LATER: u64 = u64::MAX >> 2;

/// More events than a store removes in a step.
const MANY: u64 = 600;

/// A run that has ended, with as many events and with a patch.
pub(super) async fn ended(store: &Store, run: &str, events: u64) -> (RunId, Vec<LoggedEvent>) {
    let (run, epoch) = contract::owned(store, run).await;
    let said = (1..events).map(|seq| status(seq, format!("{run} \"é\n{seq}")));
    let append = store.append(&run, epoch, said.collect());
    append.await.expect("append");
    let patch = format!("the patch of {run}");
    let put = store.put_patch(&run, epoch, patch.as_bytes());
    put.await.expect("put");
    let outcome = Outcome::PatchOnly;
    let finish = store.finish(&run, epoch, outcome, done(events, outcome));
    finish.await.expect("finish");
    let log = contract::all(store, &run).await;
    (run, log)
}

/// Runs are kept for a day.
pub(super) fn retirement(store: &Store, archive: Option<&Path>) -> Retirement {
    let archive = archive.map(|folder| format!("archive_dir = {folder:?}"));
    let config = server_config(&format!(
        "keep_runs_days = 1\n{}",
        archive.unwrap_or_default()
    ));
    let retirement = Retirement::of(&config, Store::clone(store));
    retirement.expect("an archive").expect("a limit")
}

fn server_config(keys: &str) -> ServerConfig {
    let text =
        format!("[agent]\nprovider = 'x'\n[providers.x]\ncommand = './x'\n[server]\n{keys}\n");
    let config = Config::parse(&text, Path::new("/plugins.toml"));
    config.expect("a good configuration").server
}

pub(super) fn tomorrow() -> u64 {
    now_ms() + DAY_MS + 1000
}

pub(super) async fn record(store: &Store, run: &RunId) -> RunRecord {
    store.get(run).await.expect("get").expect("a record")
}

/// That the archive holds exactly these runs, each as a whole.
pub(super) fn holds(folder: &Path, runs: &BTreeMap<RunId, Vec<LoggedEvent>>) {
    let archive = Archive::at(folder);
    let found = archive.find("").expect("find");
    assert_eq!(found, runs.keys().cloned().collect::<Vec<_>>());
    for (run, log) in runs {
        let events: Result<Vec<_>, _> = archive.events(run).expect("open").collect();
        assert_eq!(&events.expect("events"), log);
        let patch = archive.patch(run).expect("read").expect("a patch");
        assert_eq!(patch, format!("the patch of {run}").as_bytes());
    }
    let files = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(files, 2 * runs.len(), "nothing else is there");
}

pub(super) async fn ended_runs_leave_in_steps(store: Store) {
    let (run, _) = ended(&store, "a", MANY).await;
    let (alive, _) = contract::owned(&store, "alive").await;
    assert!(store.retire(&run, Retired::Archived).await.expect("retire"));
    let begun = record(&store, &run).await;
    assert_eq!(
        begun.retired,
        Some(Retired::Archived),
        "from the first step on"
    );
    assert_eq!(store.patch(&run).await.expect("patch"), None);
    let left = contract::all(&store, &run).await.len() as u64;
    assert!((1..MANY).contains(&left), "{left}");
    let mut steps = 1;
    while store.retire(&run, Retired::Removed).await.expect("retire") {
        steps += 1;
    }
    assert!(steps < 10, "{steps}");
    assert!(contract::all(&store, &run).await.is_empty());
    let over = record(&store, &run).await;
    assert_eq!(
        over.retired,
        Some(Retired::Archived),
        "what was noted first"
    );
    assert_eq!(
        (over.outcome, over.last_seq),
        (Some(Outcome::PatchOnly), MANY)
    );
    assert!(!store.retire(&run, Retired::Archived).await.expect("again"));
    let refused = store.retire(&alive, Retired::Removed).await;
    assert!(
        matches!(refused, Err(StoreError::Database { .. })),
        "{refused:?}"
    );
    let unknown = store.retire(&id("nobody"), Retired::Removed).await;
    assert!(
        matches!(unknown, Err(StoreError::UnknownRun(_))),
        "{unknown:?}"
    );
    let mut steps = 0;
    while store.give_back().await.expect("give back") {
        steps += 1;
    }
    assert!(steps < 100, "{steps}");
    assert_eq!(record(&store, &alive).await.retired, None);
}

pub(super) async fn runs_are_due_in_the_order_of_their_ends(store: Store) {
    for run in ["c", "a", "b"] {
        ended(&store, run, 1).await;
    }
    contract::owned(&store, "alive").await;
    assert!(store.due(0, None, 9).await.expect("due").is_empty());
    let all = store.due(LATER, None, 9).await.expect("due");
    let ends: Vec<_> = all
        .iter()
        .map(|run| (run.finished_at_ms, run.id.0.clone()))
        .collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.is_sorted(), "{ends:?}");
    let mut paged = Vec::new();
    while let Some(next) = store.due(LATER, paged.last(), 1).await.expect("due").pop() {
        paged.push(next);
    }
    assert_eq!(paged, all);
    while store
        .retire(&all[0].id, Retired::Removed)
        .await
        .expect("retire")
    {}
    assert_eq!(store.due(LATER, None, 9).await.expect("due"), all[1..]);
}

pub(super) async fn a_pass_archives_and_removes(store: Store) {
    let folder = TempDir::new().expect("a folder");
    let archive = folder.path().join("archive");
    let retirement = retirement(&store, Some(&archive));
    let (long, log) = ended(&store, "long", MANY).await;
    let (short, short_log) = ended(&store, "short", 1).await;
    let (alive, _) = contract::owned(&store, "alive").await;
    let young = retirement.pass(now_ms()).await.expect("a pass");
    assert_eq!(young, Passed::default(), "they ended just now");
    assert_eq!(contract::all(&store, &long).await, log);
    let passed = retirement.pass(tomorrow()).await.expect("a pass");
    assert_eq!(
        passed,
        Passed {
            retired: 2,
            kept: 0
        }
    );
    let runs = BTreeMap::from([(long.clone(), log), (short, short_log)]);
    holds(&archive, &runs);
    assert!(contract::all(&store, &long).await.is_empty());
    let over = record(&store, &long).await;
    assert_eq!(over.retired, Some(Retired::Archived));
    assert_eq!(
        store.list(9).await.expect("list").len(),
        3,
        "all are listed"
    );
    assert_eq!(record(&store, &alive).await.retired, None);
    let again = retirement.pass(tomorrow()).await.expect("a pass");
    assert_eq!(again, Passed::default());
    holds(&archive, &runs);
}

pub(super) async fn without_an_archive_they_are_gone(store: Store) {
    let mut keyed = contract::new("keyed", "do it", Some("key"));
    assert_eq!(
        store.create(keyed.clone()).await.expect("create"),
        Created::New
    );
    let run = keyed.id.clone();
    let epoch = store
        .claim(&run, "worker", contract::LEASE)
        .await
        .expect("claim");
    let outcome = Outcome::NoChanges;
    let finish = store.finish(&run, epoch, outcome, done(1, outcome));
    finish.await.expect("finish");
    let passed = retirement(&store, None)
        .pass(tomorrow())
        .await
        .expect("a pass");
    assert_eq!(passed.retired, 1);
    let over = record(&store, &run).await;
    assert_eq!(over.retired, Some(Retired::Removed));
    assert!(contract::all(&store, &run).await.is_empty());
    keyed.id = id("later");
    let joined = store.create(keyed).await.expect("create");
    assert_eq!(joined, Created::Joined(run), "a key keeps its meaning");
    let other = contract::new("other", "do else", Some("key"));
    let reused = store.create(other).await.expect("create");
    assert_eq!(reused, Created::KeyReused);
}
