//! What every store must do with runs that follow others.

use pullwright_core::log::stamp;
use pullwright_core::store::{Created, Epoch, Message, NewMessage, NewRun, Posted, Retired};
use pullwright_protocol::{Event, Outcome, RunId};
use serde_json::json;

use super::contract::{self, LEASE, Store};
use super::retention::{ended, record, retirement, tomorrow};
use crate::support::{done, id};

/// How many want to follow one run at the same time.
const RIVALS: usize = 12;

fn following(run: &str, followed: &RunId, key: Option<&str>) -> NewRun {
    let mut new = contract::new(run, "more", key);
    new.request = new.request.following(followed, "more".to_owned());
    new
}

async fn create(store: &Store, new: NewRun) -> Created {
    store.create(new).await.expect("create")
}

pub(super) async fn a_run_is_followed_by_one(store: Store) {
    let (run, _) = ended(&store, "run", 1).await;
    assert_eq!(store.follower(&run).await.expect("look"), None);
    let rivals =
        (0..RIVALS).map(|rival| create(&store, following(&format!("f{rival}"), &run, None)));
    let created = futures_util::future::join_all(rivals).await;
    let won = created.iter().position(|created| *created == Created::New);
    let winner = id(&format!("f{}", won.expect("one that is new")));
    for (rival, created) in created.iter().enumerate() {
        let is_winner = id(&format!("f{rival}")) == winner;
        let expected = match is_winner {
            true => Created::New,
            false => Created::FollowedBy(winner.clone()),
        };
        assert_eq!(*created, expected);
    }
    assert_eq!(
        store.follower(&run).await.expect("look"),
        Some(winner.clone())
    );
    assert_eq!(
        record(&store, &winner).await.request.follows,
        Some(run.clone())
    );
    let epoch = store.claim(&winner, "worker", LEASE).await.expect("claim");
    let outcome = Outcome::NoChanges;
    let end = store.finish(&winner, epoch, outcome, done(1, outcome));
    end.await.expect("finish");
    let late = create(&store, following("late", &run, None)).await;
    assert_eq!(
        late,
        Created::FollowedBy(winner.clone()),
        "also once it has ended"
    );
    let next = create(&store, following("next", &winner, None)).await;
    assert_eq!(next, Created::New);
    assert_eq!(store.list(99).await.expect("list").len(), 3);
}

pub(super) async fn a_key_joins_the_run_that_follows(store: Store) {
    let (run, _) = ended(&store, "run", 1).await;
    let first = create(&store, following("a", &run, Some("key"))).await;
    assert_eq!(first, Created::New);
    let again = create(&store, following("b", &run, Some("key"))).await;
    assert_eq!(again, Created::Joined(id("a")));
    let other = create(&store, following("c", &id("other"), Some("key"))).await;
    assert_eq!(other, Created::KeyReused);
    let keyed = |owner, key| store.keyed(owner, key);
    assert_eq!(keyed(None, "key").await.expect("look"), Some(id("a")));
    assert_eq!(keyed(Some("ann"), "key").await.expect("look"), None);
    assert_eq!(keyed(None, "other").await.expect("look"), None);
}

pub(super) async fn a_message_is_found_by_its_name(store: Store) {
    let run = contract::create(&store, "run").await;
    let message = NewMessage {
        id: "named".to_owned(),
        run: run.clone(),
        text: "do it".to_owned(),
        at_ms: 1,
    };
    let text = message.text.clone();
    let Posted::Accepted(number) = store.post(message).await.expect("post") else {
        panic!("it is not taken");
    };
    let found = store.message("named").await.expect("look");
    assert_eq!(found, Some((run, Message { number, text })));
    assert_eq!(store.message("other").await.expect("look"), None);
}

pub(super) async fn what_is_followed_stays_until_that_is_over(store: Store) {
    let (run, _) = ended(&store, "run", 1).await;
    let follower = id("a");
    create(&store, following("a", &run, None)).await;
    let claimed = store.claim(&follower, "worker", LEASE).await;
    let epoch = claimed.expect("claim");
    let passed = retirement(&store, None).pass(tomorrow()).await;
    let passed = passed.expect("pass");
    assert_eq!((passed.retired, passed.kept), (0, 1));
    assert_eq!(record(&store, &run).await.retired, None);
    let outcome = Outcome::NoChanges;
    let end = store.finish(&follower, epoch, outcome, done(1, outcome));
    end.await.expect("finish");
    let passed = retirement(&store, None).pass(tomorrow()).await;
    assert_eq!(passed.expect("pass").retired, 2);
    assert_eq!(record(&store, &run).await.retired, Some(Retired::Removed));
}

/// It ended before it took anything over, so the next of the line reads from the first.
pub(super) async fn what_is_followed_stays_along_the_line(store: Store) {
    let (run, _) = ended(&store, "run", 1).await;
    let (cut_off, epoch) = follower(&store, "a", &run).await;
    let outcome = Outcome::Cancelled;
    let end = store.finish(&cut_off, epoch, outcome, done(1, outcome));
    end.await.expect("finish");
    let (last, epoch) = follower(&store, "b", &cut_off).await;
    let passed = retirement(&store, None).pass(tomorrow()).await;
    let passed = passed.expect("pass");
    assert_eq!((passed.retired, passed.kept), (0, 2));

    let taken_over = Event::RunFollowed {
        followed: Box::new(
            serde_json::from_value(json!({ "run": "a", "outcome": "cancelled", "summary": "" }))
                .expect("what is followed"),
        ),
    };
    let append = store.append(&last, epoch, vec![stamp(1, taken_over)]);
    append.await.expect("append");
    let end = store.finish(&last, epoch, outcome, done(2, outcome));
    end.await.expect("finish");
    follower(&store, "c", &last).await;
    let passed = retirement(&store, None).pass(tomorrow()).await;
    let passed = passed.expect("pass");
    assert_eq!((passed.retired, passed.kept), (2, 1), "{last} has it all");
    assert_eq!(record(&store, &last).await.retired, None);
}

/// A run under way that follows another one.
async fn follower(store: &Store, run: &str, followed: &RunId) -> (RunId, Epoch) {
    let created = create(store, following(run, followed, None)).await;
    assert_eq!(created, Created::New);
    let run = id(run);
    let claimed = store.claim(&run, "worker", LEASE).await;
    (run, claimed.expect("claim"))
}
