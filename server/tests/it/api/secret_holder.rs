//! Keys, and those who have them.

use pullwright::access::{AccessStore, Grant, KeyMade, NewKey, Scope, Secret};
use pullwright_core::log::now_ms;
use reqwest::RequestBuilder;

/// Somebody with a key, or without one.
#[derive(Clone)]
pub(super) struct Holder(Option<Secret>);

impl Holder {
    pub(super) fn of(secret: Secret) -> Self {
        Self(Some(secret))
    }

    pub(super) fn nobody() -> Self {
        Self(None)
    }

    pub(super) fn secret(&self) -> &str {
        self.0.as_ref().expect("a secret").expose()
    }

    /// The request as this one sends it.
    pub(super) fn sends(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.0 {
            Some(secret) => request.bearer_auth(secret.expose()),
            None => request,
        }
    }
}

pub(super) fn grant(scopes: &[Scope]) -> Grant {
    Grant {
        scopes: scopes.iter().copied().collect(),
        ..Grant::default()
    }
}

pub(super) async fn key(keys: &dyn AccessStore, name: &str, scopes: &[Scope]) -> Holder {
    key_with(keys, name, grant(scopes), None).await
}

pub(super) async fn key_with(
    keys: &dyn AccessStore,
    name: &str,
    grant: Grant,
    expires_at_ms: Option<u64>,
) -> Holder {
    let secret = Secret::generate().expect("random bytes");
    let new = NewKey {
        name: name.parse().expect("a name"),
        digest: secret.digest(),
        grant,
        created_at_ms: now_ms(),
        expires_at_ms,
    };
    let made = keys.create_key(&new).await.expect("create");
    assert_eq!(made, KeyMade::Yes);
    Holder::of(secret)
}
