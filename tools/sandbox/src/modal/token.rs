//! Short-lived tokens: when they must be fetched anew.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

/// How long a token counts that does not say.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(20 * 60);

/// A token that has so long to live is not what a server refused.
const FRESH: Duration = Duration::from_secs(30);

/// A JWT, of which only the end of its life is read: the server checks the rest.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    expires: Instant,
    refresh: Instant,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

impl Token {
    pub(super) fn new(text: String) -> Self {
        let lifetime = lifetime(&text).unwrap_or(UNKNOWN_LIFETIME);
        let now = Instant::now();
        Self {
            text,
            expires: now + lifetime,
            // So that a refresh that fails can be tried again before it is too late.
            refresh: now + lifetime / 2,
        }
    }

    /// Whether the next one should be fetched.
    pub(super) fn is_stale(&self) -> bool {
        Instant::now() >= self.refresh
    }

    /// Whether it cannot be the reason of a refusal.
    pub(super) fn is_fresh(&self) -> bool {
        self.expires.saturating_duration_since(Instant::now()) > FRESH
    }
}

/// How long a JWT has to live, by its `exp`.
fn lifetime(text: &str) -> Option<Duration> {
    /// No token lives longer, and one that says so is not believed.
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

    let payload = text.split('.').nth(1)?;
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let expires = Duration::try_from_secs_f64(claims.exp?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(expires.saturating_sub(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> Token {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims);
        Token::new(format!("e30.{payload}.sig"))
    }

    fn in_seconds(seconds: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let exp = i64::try_from(now.as_secs()).unwrap() + seconds;
        format!("{{\"exp\":{exp}}}")
    }

    #[test]
    fn the_claim_says_when() {
        let alive = jwt(&in_seconds(100));
        assert!(alive.is_fresh() && !alive.is_stale());
        let ending = jwt(&in_seconds(20));
        assert!(!ending.is_fresh() && !ending.is_stale());
        let dead = jwt(&in_seconds(-5));
        assert!(!dead.is_fresh() && dead.is_stale());
        for unknown in ["{}", "{\"exp\":null}", "no", "{\"exp\":1e300}"] {
            assert!(jwt(unknown).is_fresh(), "{unknown}");
        }
        assert!(Token::new("opaque".to_owned()).is_fresh());
    }
}
