//! The gate: lets a request in, or says why not.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use pullwright_core::config::AccessConfig;
use pullwright_core::log::now_ms;
use pullwright_protocol::FailureKind;

use super::address::{Peer, client_of, is_unheard};
use super::audit::{Action, AuditEntry};
use super::key::{Key, KeyState};
use super::rates::Rates;
use super::recorder::Recorder;
use super::secret::{NotASecret, Secret};
use super::standing::Standing;
use super::store::AccessStore;
use super::visitor::Visitor;
use crate::problem::ApiProblem;

/// How often the use of a key is noted: a write for each request would cost more than the request.
const NOTE_USE_MS: u64 = 60_000;

/// Who may call this server. Cloning it is cheap.
///
/// Keys are looked up anew for each request, one indexed read, so that a change of them counts at once.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// Whoever calls a route that has a proof of its own instead of a key.
pub(crate) struct Stranger(IpAddr);

impl Stranger {
    /// Counts and records that the proof was not good. Answers what the caller is told.
    pub(crate) fn refuse(&self, access: &Access, problem: ApiProblem) -> ApiProblem {
        if access.shared.keys.is_none() {
            return problem;
        }
        let refused = AuditEntry::now(None, Action::AccessRefused).from(self.0);
        access.record_refusal(refused.refused().saying(&problem.message));
        let counted = access.shared.rates.failure(self.0);
        counted.err().unwrap_or(problem)
    }
}

struct Shared {
    keys: Option<Keys>,
    is_public: bool,
    require_keys: bool,
    trusted_proxies: Vec<IpNet>,
    rates: Rates,
}

struct Keys {
    store: Arc<dyn AccessStore>,
    recorder: Recorder,
    standing: Standing,
    /// When the use of a key was noted here, by its id.
    noted: Mutex<HashMap<String, u64>>,
}

impl Access {
    /// Lets everybody in, as often as they like: for servers without a store of keys, which only this
    /// machine may reach.
    #[must_use]
    pub fn open() -> Self {
        Self::of(None, false, &AccessConfig::default())
    }

    /// Lets in those who have a key in `store`. Without one only where there are no keys, the
    /// configuration does not ask for them, and only this machine reaches the server: `is_public` says
    /// whether others do.
    #[must_use]
    pub fn with_keys(store: Arc<dyn AccessStore>, is_public: bool, config: &AccessConfig) -> Self {
        let keys = Keys {
            recorder: Recorder::start(Arc::clone(&store)),
            standing: Standing::start(Arc::clone(&store)),
            store,
            noted: Mutex::default(),
        };
        Self::of(Some(keys), is_public, config)
    }

    fn of(keys: Option<Keys>, is_public: bool, config: &AccessConfig) -> Self {
        let shared = Shared {
            keys,
            is_public,
            require_keys: config.require_keys,
            trusted_proxies: config.trusted_proxies.clone(),
            rates: Rates::new(config),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Where the record of what was done is read.
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn AccessStore>> {
        self.shared.keys.as_ref().map(|keys| &keys.store)
    }

    /// Adds to the record of what was done.
    pub async fn record(&self, entry: AuditEntry) {
        if let Some(keys) = &self.shared.keys {
            keys.recorder.add(entry).await;
        }
    }

    /// The same of a refusal, of which there may be too many to wait for the record.
    fn record_refusal(&self, entry: AuditEntry) {
        if let Some(keys) = &self.shared.keys {
            keys.recorder.offer(entry);
        }
    }

    /// Waits until the record is in the store.
    pub async fn flush(&self) {
        if let Some(keys) = &self.shared.keys {
            keys.recorder.flush().await;
        }
    }

    /// Lets in a request to a route that has a proof of its own instead of a key.
    ///
    /// # Errors
    /// When its address asks too often.
    pub(crate) fn stranger(&self, request: &Request) -> Result<Stranger, ApiProblem> {
        let address = self.client(request);
        if self.shared.keys.is_some() {
            self.shared.rates.address(address)?;
        }
        Ok(Stranger(address))
    }

    fn client(&self, request: &Request) -> IpAddr {
        let trusted = &self.shared.trusted_proxies;
        client_of(peer_of(request), request.headers(), trusted)
    }

    /// Whether nobody on the way can have read the request.
    fn is_unheard(&self, request: &Request) -> bool {
        let trusted = &self.shared.trusted_proxies;
        is_unheard(peer_of(request), request.headers(), trusted)
    }

    async fn let_in(&self, headers: &HeaderMap, address: IpAddr) -> Result<Visitor, ApiProblem> {
        let Some(keys) = &self.shared.keys else {
            return Ok(Visitor::anybody(address));
        };
        self.shared.rates.address(address)?;
        let token = bearer(headers);
        if !token.is_some_and(is_ours) && !self.needs_key(keys).await? {
            return Ok(Visitor::anybody(address));
        }
        match keys.find(token).await? {
            Ok(key) => {
                self.shared.rates.key(&key.id, &key.name)?;
                keys.note_use(&key);
                Ok(Visitor::with_key(key, address, keys.standing.subscribe()))
            }
            Err(why) => {
                self.shared.rates.failure(address)?;
                Err(unauthorized(&why))
            }
        }
    }

    async fn needs_key(&self, keys: &Keys) -> Result<bool, ApiProblem> {
        let always = self.shared.is_public || self.shared.require_keys;
        Ok(always || keys.store.has_keys().await?)
    }
}

impl Keys {
    /// The key of this secret, or why there is none.
    async fn find(&self, token: Option<&str>) -> Result<Result<Key, String>, ApiProblem> {
        let secret: Secret = match token.map(str::parse) {
            Some(Ok(secret)) => secret,
            Some(Err(error)) => return Ok(Err(format!("the API key is not good: {error}"))),
            None => return Ok(Err("an API key is needed".to_owned())),
        };
        let digest = secret.digest();
        let found = self.store.key(&digest.id()).await?;
        let found = found.filter(|stored| stored.digest == digest);
        let Some(key) = found.map(|stored| stored.key) else {
            return Ok(Err("there is no such API key".to_owned()));
        };
        Ok(match key.state(now_ms()) {
            KeyState::Live => Ok(key),
            state => Err(format!("the API key `{}` is {state}", key.name)),
        })
    }

    /// Notes now and then that a key is in use, while the request goes on.
    fn note_use(&self, key: &Key) {
        let now = now_ms();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let here = noted.get(&key.id).copied();
        let last = here.max(key.last_used_at_ms);
        if last.is_some_and(|last| now < last.saturating_add(NOTE_USE_MS)) {
            return;
        }
        noted.insert(key.id.clone(), now);
        let (store, id) = (Arc::clone(&self.store), key.id.clone());
        tokio::spawn(async move {
            if let Err(error) = store.note_use(&id, now).await {
                tracing::warn!(%error, "the use of an API key cannot be noted");
            }
        });
    }
}

/// Lets a request in as a [`Visitor`], and records who was refused.
pub(crate) async fn gate(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = access.client(&request);
    let mut who = AuditEntry::now(None, Action::AccessRefused).from(address);
    let is_unheard = access.is_unheard(&request);
    let response = match access.let_in(request.headers(), address).await {
        Ok(visitor) => {
            who = visitor.did(Action::AccessRefused);
            request.extensions_mut().insert(visitor.unheard(is_unheard));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let problem = response.extensions().get::<ApiProblem>();
    if let Some(problem) = problem.filter(|problem| is_refusal(problem.status)) {
        access.record_refusal(who.refused().saying(&problem.message));
    }
    response
}

fn peer_of(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What stands behind `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether it is meant for us: another may be the business of a proxy.
fn is_ours(token: &str) -> bool {
    token.parse::<Secret>().err() != Some(NotASecret::Foreign)
}

fn unauthorized(why: &str) -> ApiProblem {
    let message = format!("{why}; send one as `Authorization: Bearer pw_…`");
    ApiProblem::new(StatusCode::UNAUTHORIZED, FailureKind::BadRequest, message)
}
