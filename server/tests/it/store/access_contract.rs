//! What every [`AccessStore`] must do.

use std::sync::Arc;

use pullwright::access::{
    AccessStore, Action, AuditEntry, Grant, KeyMade, KeyState, NewKey, Scope, Secret, Verdict,
};

pub(super) type Store = Arc<dyn AccessStore>;

/// Runs the whole contract, each part on a fresh store.
pub(super) async fn keeps<F: AsyncFn() -> Store>(fresh: F) {
    a_key_is_found_by_its_secret(fresh().await).await;
    a_name_is_taken_until_its_key_is_revoked(fresh().await).await;
    a_use_is_noted(fresh().await).await;
    the_record_is_read_backwards(fresh().await).await;
    what_is_recorded_twice_is_there_once(fresh().await).await;
}

fn new(name: &str, secret: &Secret) -> NewKey {
    NewKey {
        name: name.parse().expect("a name"),
        digest: secret.digest(),
        grant: Grant {
            scopes: [Scope::Run, Scope::Admin].into_iter().collect(),
            repositories: vec!["github.com/acme/*".parse().expect("a glob")],
            providers: vec!["cheap".to_owned()],
            max_usd: Some(1.5),
            max_concurrent: Some(3),
        },
        created_at_ms: 1000,
        expires_at_ms: Some(9000),
    }
}

fn secret() -> Secret {
    Secret::generate().expect("random bytes")
}

async fn a_key_is_found_by_its_secret(store: Store) {
    assert!(!store.has_keys().await.expect("look"));
    let (secret, other) = (secret(), secret());
    let new = new("ann", &secret);
    assert_eq!(store.create_key(&new).await.expect("create"), KeyMade::Yes);
    assert!(store.has_keys().await.expect("look"));
    let id = secret.digest().id();
    let found = store.key(&id).await.expect("look").expect("a key");
    assert_eq!(found.digest, secret.digest());
    assert_ne!(found.digest, other.digest());
    let key = found.key;
    assert_eq!(
        (&key.id, key.name.as_str(), &key.grant),
        (&id, "ann", &new.grant)
    );
    assert_eq!((key.created_at_ms, key.expires_at_ms), (1000, Some(9000)));
    assert_eq!(
        (key.state(8999), key.state(9000)),
        (KeyState::Live, KeyState::Expired)
    );
    assert!(
        store
            .key(&other.digest().id())
            .await
            .expect("look")
            .is_none()
    );
    assert_eq!(store.keys().await.expect("list"), [key]);
}

async fn a_name_is_taken_until_its_key_is_revoked(store: Store) {
    let (first, second) = (secret(), secret());
    store.create_key(&new("ann", &first)).await.expect("create");
    let taken = store.create_key(&new("ann", &second)).await;
    assert_eq!(taken.expect("create"), KeyMade::NameTaken);
    assert!(!store.revoke_key("bob", 2000).await.expect("revoke"));
    assert!(store.revoke_key("ann", 2000).await.expect("revoke"));
    assert!(!store.revoke_key("ann", 3000).await.expect("revoke again"));
    assert!(!store.has_keys().await.expect("look"));
    let made = store.create_key(&new("ann", &second)).await;
    assert_eq!(made.expect("create"), KeyMade::Yes);
    let first = store.key(&first.digest().id()).await.expect("look");
    let first = first.expect("a revoked key is kept").key;
    assert_eq!(
        (first.revoked_at_ms, first.state(2001)),
        (Some(2000), KeyState::Revoked)
    );
    assert_eq!(store.keys().await.expect("list").len(), 2);
}

async fn a_use_is_noted(store: Store) {
    let secret = secret();
    store
        .create_key(&new("ann", &secret))
        .await
        .expect("create");
    let id = secret.digest().id();
    store.note_use(&id, 5000).await.expect("note");
    let key = store.key(&id).await.expect("look").expect("a key").key;
    assert_eq!(key.last_used_at_ms, Some(5000));
    store
        .note_use("nobody", 5000)
        .await
        .expect("nothing to note");
}

async fn the_record_is_read_backwards(store: Store) {
    let entries: Vec<_> = (0..10).map(|n| entry(&format!("run-{n}"))).collect();
    store.record(&entries[..4]).await.expect("record");
    store.record(&entries[4..]).await.expect("record");
    store.record(&[]).await.expect("nothing to record");
    let latest = store.recorded(None, 3).await.expect("read");
    let targets: Vec<_> = latest
        .iter()
        .map(|audited| audited.entry.target.as_deref())
        .collect();
    assert_eq!(targets, [Some("run-9"), Some("run-8"), Some("run-7")]);
    assert_eq!(latest[0].entry, entries[9], "every field");
    let before = store
        .recorded(Some(latest[2].seq), 100)
        .await
        .expect("read");
    assert_eq!(before.len(), 7);
    assert_eq!(before[0].entry, entries[6]);
}

async fn what_is_recorded_twice_is_there_once(store: Store) {
    let (first, second) = (entry("a"), entry("b"));
    store
        .record(std::slice::from_ref(&first))
        .await
        .expect("record");
    store
        .record(&[first.clone(), second])
        .await
        .expect("record");
    assert_eq!(store.recorded(None, 10).await.expect("read").len(), 2);
}

pub(super) fn entry(target: &str) -> AuditEntry {
    let entry = AuditEntry::now(Some("ann"), Action::AccessRefused)
        .from([192, 0, 2, 1].into())
        .to(target)
        .on("https://github.com/acme/shop")
        .saying("é \"quoted\"")
        .refused();
    assert_eq!(entry.outcome, Verdict::Refused);
    AuditEntry { count: 7, ..entry }
}
