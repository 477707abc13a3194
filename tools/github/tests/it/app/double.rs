//! GitHub as an App meets it, on loopback: checks each proof with the App's public key, gives tokens and
//! takes them back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::keys::PUBLIC;
use crate::fault_server::asks_for_rules;
use crate::preflight::demo;

pub(crate) const APP_ID: &str = "4711";
const INSTALLATION: u64 = 99;
/// GitHub takes no proof that lasts for more than this.
const LONGEST_PROOF: u64 = 600;

pub(crate) struct Double {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

/// What it does, and what it was asked.
pub(crate) struct State {
    /// Which Apps it knows.
    pub(crate) app_id: &'static str,
    pub(crate) installed: bool,
    pub(crate) suspended: bool,
    /// What the installation was granted.
    pub(crate) permissions: Value,
    /// How long its tokens last.
    pub(crate) life: Duration,
    /// How far its clock is ahead, in seconds.
    pub(crate) clock: i64,
    /// Takes none of its own tokens.
    pub(crate) distrustful: bool,
    /// Answers to requests for tokens, before it gives any.
    pub(crate) failures: VecDeque<(u16, &'static str)>,
    /// Takes its tokens back when a pull request is about to be opened, once.
    pub(crate) revoke_before_post: bool,
    /// How many pull requests were opened.
    pub(crate) opened: usize,
    /// What was asked, such as `GET /repos/octo/demo`.
    pub(crate) asked: Vec<String>,
    /// What the proofs said.
    pub(crate) claims: Vec<Value>,
    /// What each token was wanted for.
    pub(crate) wanted: Vec<Value>,
    /// The tokens that are good.
    pub(crate) good: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            app_id: APP_ID,
            installed: true,
            suspended: false,
            permissions: json!({"contents": "write", "issues": "write", "metadata": "read",
                "pull_requests": "write", "workflows": "write", "administration": "write"}),
            life: Duration::from_secs(3600),
            clock: 0,
            distrustful: false,
            failures: VecDeque::new(),
            revoke_before_post: false,
            opened: 0,
            asked: Vec::new(),
            claims: Vec::new(),
            wanted: Vec::new(),
            good: Vec::new(),
        }
    }
}

type Said = (StatusCode, Value);

impl Double {
    pub(crate) async fn start(state: State) -> Self {
        Self::below("", state).await
    }

    /// With `prefix` before each path, as GitHub Enterprise has it.
    pub(crate) async fn below(prefix: &'static str, state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{prefix}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move {
                let Some(path) = uri.path().strip_prefix(prefix) else {
                    return StatusCode::IM_A_TEAPOT.into_response();
                };
                // So that requests that come together are under way together.
                tokio::task::yield_now().await;
                let mut state = shared.lock().unwrap();
                let asked = format!("{method} {path}");
                let said = state.answer(&asked, &headers, &body);
                state.response(said)
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// No token that was given is good any more.
    pub(crate) fn revoke(&mut self) {
        self.good.clear();
    }

    fn answer(&mut self, asked: &str, headers: &HeaderMap, body: &[u8]) -> Said {
        if asks_for_rules(asked) {
            return said(404, "Not Found");
        }
        self.asked.push(asked.to_owned());
        if asked == "POST /repos/octo/demo/pulls" && std::mem::take(&mut self.revoke_before_post) {
            self.revoke();
        }
        let bearer = headers["authorization"].to_str().unwrap();
        let bearer = bearer.strip_prefix("Bearer ").unwrap();
        match asked {
            "GET /repos/octo/demo/installation" => self.as_app(bearer, Self::installation),
            "POST /app/installations/99/access_tokens" => {
                let wanted = serde_json::from_slice(body).unwrap();
                self.as_app(bearer, |state| state.grant(wanted))
            }
            _ if self.distrustful || !self.good.iter().any(|good| good == bearer) => {
                said(401, "Bad credentials")
            }
            "GET /repos/octo/demo" => {
                // An App's rights are not told as a user's are.
                let mut demo = demo();
                demo["permissions"]["push"] = json!(false);
                (StatusCode::OK, demo)
            }
            "GET /repos/octo/demo/pulls" => (StatusCode::OK, json!([])),
            "POST /repos/octo/demo/pulls" => {
                self.opened += 1;
                let end = json!({"ref": "work", "repo": {"full_name": "octo/demo"}});
                let page = "https://github.com/octo/demo/pull/7";
                let pull = json!({"number": 7, "html_url": page, "title": "t", "state": "open",
                    "head": end, "base": end});
                (StatusCode::CREATED, pull)
            }
            "GET /search/issues" => (StatusCode::OK, json!({"items": []})),
            _ => said(404, "Not Found"),
        }
    }

    fn as_app(&mut self, proof: &str, answer: impl FnOnce(&mut Self) -> Said) -> Said {
        match self.check(proof) {
            Ok(claims) if claims["iss"] == self.app_id => {
                self.claims.push(claims);
                answer(self)
            }
            Ok(_) => said(404, "Integration not found"),
            Err(why) => said(401, why),
        }
    }

    /// What the proof says, if it is one.
    fn check(&self, proof: &str) -> Result<Value, &'static str> {
        let undecodable = "A JSON web token could not be decoded";
        let (signed, signature) = proof.rsplit_once('.').ok_or(undecodable)?;
        let (header, claims) = signed.split_once('.').ok_or(undecodable)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let public = STANDARD.decode(PUBLIC.concat()).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &decode(signature))
            .map_err(|_| undecodable)?;
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
        let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
        let (from, to) = (
            claims["iat"].as_u64().unwrap(),
            claims["exp"].as_u64().unwrap(),
        );
        let now = self.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if from > now {
            return Err("'Issued at' claim ('iat') must not be in the future");
        }
        if to <= now || to - now > LONGEST_PROOF {
            return Err("'Expiration time' claim ('exp') is too far in the future, or past");
        }
        Ok(claims)
    }

    fn installation(&mut self) -> Said {
        if !self.installed {
            return said(404, "Not Found");
        }
        let suspended_at = self.suspended.then_some("2026-01-01T00:00:00Z");
        let installation = json!({"id": INSTALLATION, "permissions": self.permissions,
            "suspended_at": suspended_at});
        (StatusCode::OK, installation)
    }

    fn grant(&mut self, wanted: Value) -> Said {
        if let Some((status, message)) = self.failures.pop_front() {
            return said(status, message);
        }
        let token = format!("ghs_canary{:04}", self.wanted.len());
        let expires_at = DateTime::<Utc>::from(self.now() + self.life);
        self.wanted.push(wanted);
        self.good.push(token.clone());
        let granted = json!({"token": token,
            "expires_at": expires_at.to_rfc3339_opts(SecondsFormat::Secs, true)});
        (StatusCode::CREATED, granted)
    }

    fn response(&self, (status, body): Said) -> Response {
        let date = [("date", httpdate::fmt_http_date(self.now()))];
        (status, date, body.to_string()).into_response()
    }

    fn now(&self) -> SystemTime {
        let seconds = Duration::from_secs(self.clock.unsigned_abs());
        if self.clock < 0 {
            SystemTime::now() - seconds
        } else {
            SystemTime::now() + seconds
        }
    }
}

fn said(status: u16, message: &str) -> Said {
    (
        StatusCode::from_u16(status).unwrap(),
        json!({"message": message}),
    )
}
