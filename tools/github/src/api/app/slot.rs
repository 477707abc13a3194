//! The token of one repository: asked for once, however many want it, and again before it expires.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::Mutex;

use crate::api::account::Account;
use crate::api::{By, Fault};
use crate::config::Secret;

/// A token is replaced this long before it expires, so that what begins with it also ends with it.
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// Tokens live for an hour. A longer life is not believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A token, or why there is none.
pub(in crate::api) type Answer = Result<Arc<Token>, Fault>;

/// A token of an installation.
pub(in crate::api) struct Token {
    secret: Secret,
    authorization: HeaderValue,
    received: Instant,
    life: Duration,
    account: Arc<Account>,
}

/// Where the token of one repository is kept.
#[derive(Default)]
pub(super) struct Slot {
    /// What came of it when GitHub was asked last. Locked while it is asked.
    last: Mutex<Option<Answer>>,
    /// How often it was asked.
    rounds: AtomicU64,
}

impl Token {
    /// A token that expires `life` from now. `None` when it cannot be one.
    pub(super) fn new(secret: &str, life: Duration, account: Arc<Account>) -> Option<Self> {
        let graphic = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let mut authorization = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
        authorization.set_sensitive(true);
        graphic.then(|| Self {
            secret: Secret::new(secret),
            authorization,
            received: Instant::now(),
            life: life.min(LONGEST_LIFE),
            account,
        })
    }

    pub(in crate::api) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Sends a request with it.
    pub(in crate::api) fn by(&self) -> By<'_> {
        By::Other(&self.authorization, &self.account)
    }

    fn is_good_for(&self, more: Duration) -> bool {
        self.received.elapsed() + more < self.life
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Slot {
    /// The token, from `grant` where there is none that lasts. Whoever comes while GitHub is being
    /// asked waits for that answer, whatever it is.
    pub(super) async fn token<F>(&self, grant: impl FnOnce() -> F) -> Answer
    where
        F: Future<Output = Result<Token, Fault>>,
    {
        let round = self.rounds.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(Ok(token)) = &*last
            && token.is_good_for(RENEW_AHEAD)
        {
            return Ok(Arc::clone(token));
        }
        if let Some(answer) = &*last
            && self.rounds.load(Ordering::Acquire) != round
        {
            return answer.clone();
        }
        let answer = or_old(grant().await, last.take());
        self.rounds.fetch_add(1, Ordering::Release);
        *last = Some(answer.clone());
        answer
    }

    pub(super) async fn forget(&self, token: &Arc<Token>) {
        let mut last = self.last.lock().await;
        if let Some(Ok(held)) = &*last
            && Arc::ptr_eq(held, token)
        {
            *last = None;
        }
    }
}

/// The new token; while GitHub cannot be asked, the old one as long as it lives.
fn or_old(granted: Result<Token, Fault>, old: Option<Answer>) -> Answer {
    match (granted, old) {
        (Err(fault), Some(Ok(old))) if fault.passes() && old.is_good_for(Duration::ZERO) => {
            tracing::warn!(%fault, "the token of the GitHub App is not renewed yet");
            Ok(old)
        }
        (granted, _) => granted.map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;

    use super::*;
    use crate::api::account::{Accounts, Who};

    const HOUR: Duration = Duration::from_secs(3600);

    fn token(secret: &str) -> Option<Token> {
        let account = Accounts::default().account("h", Who::Installation(1));
        Token::new(secret, HOUR, account)
    }

    fn unreachable() -> Fault {
        Fault::Unreachable {
            host: "h".to_owned(),
            reason: "r".to_owned(),
        }
    }

    #[tokio::test]
    async fn those_who_wait_share_the_answer_also_when_there_is_no_token() {
        let slot = Slot::default();
        let asked = Cell::new(0);
        let failing = || async {
            asked.set(asked.get() + 1);
            tokio::task::yield_now().await;
            Err(unreachable())
        };
        for answer in join_all((0..50).map(|_| slot.token(failing))).await {
            assert_eq!(answer.unwrap_err(), unreachable());
        }
        assert_eq!(asked.get(), 1);
        // Whoever comes later asks anew.
        let granted = || async { Ok(token("ghs_a").unwrap()) };
        assert_eq!(
            slot.token(granted).await.unwrap().secret().expose(),
            "ghs_a"
        );
    }

    #[tokio::test]
    async fn a_token_is_forgotten_only_by_those_who_had_it() {
        let slot = Slot::default();
        let granted = || async { Ok(token("ghs_a").unwrap()) };
        let first = slot.token(granted).await.unwrap();
        slot.forget(&first).await;
        let second = slot.token(granted).await.unwrap();
        slot.forget(&first).await;
        let third = slot.token(granted).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &third));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for odd in ["", "a b", "ghs_é", "a\n"] {
            assert!(token(odd).is_none(), "{odd:?}");
        }
    }
}
