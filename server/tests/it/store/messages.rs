//! What every store must do with messages for the models of runs.

use pullwright_core::store::{MAX_MESSAGES, Message, NewMessage, Posted, StoreError};
use pullwright_protocol::{Outcome, RunId};

use super::contract::{Store, create, owned};
use crate::support::{done, id};

fn message(run: &RunId, name: &str) -> NewMessage {
    NewMessage {
        id: format!("{run}-{name}"),
        run: run.clone(),
        text: format!("do {name}, \u{1f980}"),
        at_ms: 1,
    }
}

async fn post(store: &Store, run: &RunId, name: &str) -> Posted {
    let posted = store.post(message(run, name)).await;
    posted.expect("post")
}

pub(super) async fn are_left_once_and_for_their_run(store: Store) {
    let (one, other) = (create(&store, "one").await, create(&store, "other").await);
    let Posted::Accepted(first) = post(&store, &one, "a").await else {
        panic!("it is not taken");
    };
    let Posted::Accepted(second) = post(&store, &one, "b").await else {
        panic!("it is not taken");
    };
    assert!(first < second);
    let again = post(&store, &one, "a").await;
    assert_eq!(again, Posted::Accepted(first), "the same is the same one");
    post(&store, &other, "c").await;
    let expected = [(first, "a"), (second, "b")].map(|(number, name)| Message {
        number,
        text: message(&one, name).text,
    });
    let messages = store.messages(&one).await.expect("messages");
    assert_eq!(messages, expected);
}

pub(super) async fn are_taken_while_a_run_is_under_way(store: Store) {
    let unknown = store.post(message(&id("nobody"), "a")).await;
    assert!(matches!(unknown, Err(StoreError::UnknownRun(_))));
    assert_eq!(store.messages(&id("nobody")).await.expect("none"), []);
    let (run, epoch) = owned(&store, "run").await;
    for number in 0..MAX_MESSAGES {
        let posted = post(&store, &run, &number.to_string()).await;
        assert!(matches!(posted, Posted::Accepted(_)), "{number}");
    }
    assert_eq!(post(&store, &run, "more").await, Posted::Full);
    let outcome = Outcome::NoChanges;
    let ended = store.finish(&run, epoch, outcome, done(1, outcome)).await;
    ended.expect("finish");
    assert_eq!(post(&store, &run, "late").await, Posted::Ended);
    let left = store.messages(&run).await.expect("messages");
    assert_eq!(left.len(), MAX_MESSAGES);
}
