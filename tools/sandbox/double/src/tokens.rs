//! Short-lived tokens, and whether they still count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tonic::Status;

#[derive(Debug)]
pub(crate) struct Tokens {
    secret: String,
    lifetime: Duration,
    /// Tokens of an earlier generation are too old.
    generation: AtomicU64,
}

impl Tokens {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            secret: uuid::Uuid::new_v4().to_string(),
            lifetime,
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// A token for `what`.
    pub(crate) fn give(&self, what: &str) -> String {
        let exp = now() + self.lifetime.as_secs_f64();
        let generation = self.generation.load(Ordering::SeqCst);
        let claims = json!({ "sub": what, "exp": exp, "gen": generation });
        let head = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("{head}.{payload}.{}", self.sign(&payload))
    }

    /// Whether `token` is one for `what` and not too old.
    pub(crate) fn check(&self, token: &str, what: &str) -> Result<(), Status> {
        let refused = |why: &str| Err(Status::unauthenticated(format!("the token {why}")));
        let parts: Vec<&str> = token.split('.').collect();
        let [_, payload, signature] = parts.as_slice() else {
            return refused("is none");
        };
        if self.sign(payload) != *signature {
            return refused("is not ours");
        }
        let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
        let is_old = claims["exp"].as_f64().unwrap_or_default() <= now()
            || claims["gen"].as_u64() != Some(self.generation.load(Ordering::SeqCst));
        match claims["sub"].as_str() {
            Some(subject) if subject != what => refused("is for something else"),
            _ if is_old => refused("is too old"),
            _ => Ok(()),
        }
    }

    fn sign(&self, payload: &str) -> String {
        let digest = Sha256::digest(format!("{}{payload}", self.secret));
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}
