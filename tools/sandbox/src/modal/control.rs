//! The control plane: calls with the account's token, made again where that may help.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::account::Account;
use super::channel::{self, Channels, MAX_MESSAGE_BYTES};
use super::error::ModalError;
use super::retry::{Attempts, CONTROL, is_passing};
use super::token::Token;
use super::wire::client::AuthTokenGetRequest;
use super::wire::client::modal_client_client::ModalClientClient;

/// The version of the protocol that clients name which are not Modal's Python.
const CLIENT_VERSION: &str = "1.0.0";

/// `CLIENT_TYPE_LIBMODAL`: a client that is neither Modal's Python nor a container of theirs.
const CLIENT_TYPE: &str = "7";

/// Who we are.
const LIBRARY: &str = concat!("pullwright/", env!("CARGO_PKG_VERSION"));

/// How long one attempt may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a call may be held up by the renewal of a token that still counts.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long such a token is used on after a renewal that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// What one call differs in from another.
#[derive(Clone)]
pub(super) struct CallOptions {
    /// How long one attempt may take.
    pub(super) attempt: Duration,
    /// Once it fires, no other attempt is begun. Dropping a call ends the one under way as well, and
    /// then nobody knows what came of it.
    pub(super) given_up: CancellationToken,
    /// What a sandbox wants besides the account's tokens.
    pub(super) sandbox_token: Option<String>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            attempt: CALL_TIMEOUT,
            given_up: CancellationToken::new(),
            sandbox_token: None,
        }
    }
}

/// The client of one call.
pub(super) type Client = ModalClientClient<Channel>;

/// The control plane, as one account reaches it.
pub(super) struct Control {
    account: Account,
    client: Client,
    /// Which V2 sandboxes want besides the account's own token.
    auth: Mutex<Auth>,
    /// Held by whoever fetches the next token.
    renewal: tokio::sync::Mutex<()>,
    pub(super) routers: Channels,
}

#[derive(Default)]
struct Auth {
    token: Option<Token>,
    /// When a renewal that failed may be tried again, while the token still counts.
    pause: Option<Instant>,
}

/// What all attempts of a call have in common.
struct Call {
    /// For messages.
    name: &'static str,
    auth: Option<String>,
    options: CallOptions,
    /// By this, a server that did the work already does it once.
    key: String,
    /// Whether an attempt may have done the work unheard.
    is_open: bool,
}

impl Control {
    pub(super) fn new(account: Account) -> Result<Self, ModalError> {
        let channel = channel::connect(&account.server)?;
        let client = ModalClientClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self {
            account,
            client,
            auth: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            routers: Channels::default(),
        })
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Makes a call until it succeeds or there is no hope. `name` is for messages.
    pub(super) async fn call<Q, A, F>(
        &self,
        name: &'static str,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, ModalError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let options = CallOptions::default();
        self.call_with(name, options, request, send).await
    }

    /// The same with something else than usual.
    pub(super) async fn call_with<Q, A, F>(
        &self,
        name: &'static str,
        options: CallOptions,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, ModalError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut call = Call {
            auth: Some(self.auth_token().await?.text),
            ..Call::new(name, options)
        };
        match self.attempt(&mut call, request.clone(), &send).await {
            // The server may have forgotten the token before its time; it is asked for another, once.
            Err(ModalError::Call { status, .. }) if status.code() == Code::Unauthenticated => {
                self.auth().token = None;
                let renewed = self.auth_token().await;
                call.auth = Some(renewed.map_err(|error| call.opened(error))?.text);
                self.attempt(&mut call, request, &send).await
            }
            answered => answered,
        }
    }

    async fn attempt<Q, A, F>(
        &self,
        call: &mut Call,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, ModalError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let (name, limit) = (call.name, call.options.attempt);
        let mut attempts = Attempts::new(CONTROL, self.account.max_throttle);
        loop {
            let mut request = Request::new(request.clone());
            self.sign(request.metadata_mut(), call, &attempts);
            request.set_timeout(limit);
            let answer = tokio::time::timeout(limit, send(self.client.clone(), request)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
            let status = match answer {
                Ok(answer) => {
                    warn(name, answer.metadata());
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            warn(name, status.metadata());
            call.is_open |= is_passing(status.code());
            let Some(wait) = attempts.wait_after(&status) else {
                return Err(call.failed(status));
            };
            tracing::info!(call = name, %status, ?wait, "a call to Modal is made again");
            let given_up = call.options.given_up.cancelled();
            if tokio::time::timeout(wait, given_up).await.is_ok() {
                return Err(call.failed(status));
            }
        }
    }

    /// The token of now. Only who has none that counts waits for the next one.
    async fn auth_token(&self) -> Result<Token, ModalError> {
        if let Some(token) = self.auth().usable() {
            return Ok(token);
        }
        let counts = self.auth().token.clone().filter(Token::is_fresh);
        let Some(old) = counts else {
            let _turn = self.renewal.lock().await;
            // Another may have fetched it meanwhile.
            let fetched = self.auth().usable();
            return match fetched {
                Some(token) => Ok(token),
                None => self.renew().await,
            };
        };
        let Ok(_turn) = self.renewal.try_lock() else {
            return Ok(old);
        };
        let renewed = tokio::time::timeout(RENEWAL_TIMEOUT, self.renew()).await;
        Ok(match renewed {
            Ok(Ok(token)) => token,
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer".to_owned(),
                };
                tracing::info!(why, "Modal's token could not be renewed; it still counts");
                self.auth().pause = Some(Instant::now() + RENEWAL_PAUSE);
                old
            }
        })
    }

    async fn renew(&self) -> Result<Token, ModalError> {
        let mut call = Call::new("AuthTokenGet", CallOptions::default());
        let asked = self.attempt(
            &mut call,
            AuthTokenGetRequest {},
            |mut client, request| async move { client.auth_token_get(request).await },
        );
        let token = Token::new(asked.await?.token);
        *self.auth() = Auth {
            token: Some(token.clone()),
            pause: None,
        };
        Ok(token)
    }

    fn auth(&self) -> MutexGuard<'_, Auth> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, metadata: &mut MetadataMap, call: &Call, attempts: &Attempts) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
        let account = &self.account;
        let mut add = |name: &'static str, value: &str, secret: bool| {
            if let Ok(mut value) = AsciiMetadataValue::try_from(value) {
                value.set_sensitive(secret);
                metadata.insert(name, value);
            }
        };
        add("x-modal-client-version", CLIENT_VERSION, false);
        add("x-modal-client-type", CLIENT_TYPE, false);
        add("x-modal-libmodal-version", LIBRARY, false);
        add("x-modal-token-id", &account.token_id, false);
        add("x-modal-token-secret", &account.token_secret, true);
        add(
            "x-modal-host",
            account.server.host().unwrap_or_default(),
            false,
        );
        add("x-idempotency-key", &call.key, false);
        add("x-retry-attempt", &attempts.retries.to_string(), false);
        add(
            "x-throttle-retry-attempt",
            &attempts.throttled.to_string(),
            false,
        );
        add(
            "x-modal-timestamp",
            &seconds(now.unwrap_or_default()),
            false,
        );
        if attempts.retries > 0 {
            add("x-retry-delay", &seconds(attempts.elapsed()), false);
        }
        if attempts.throttled > 0 {
            add(
                "x-throttle-retry-delay",
                &seconds(attempts.elapsed()),
                false,
            );
        }
        if let Some(token) = &call.auth {
            add("x-modal-auth-token", token, true);
        }
        if let Some(token) = &call.options.sandbox_token {
            add("x-modal-sandbox-token", token, true);
        }
    }
}

impl Auth {
    /// The token, unless it is time for the next one.
    fn usable(&self) -> Option<Token> {
        let token = self.token.clone()?;
        let waits = self.pause.is_some_and(|pause| Instant::now() < pause) && token.is_fresh();
        (waits || !token.is_stale()).then_some(token)
    }
}

impl Call {
    fn new(name: &'static str, options: CallOptions) -> Self {
        Self {
            name,
            auth: None,
            options,
            key: uuid::Uuid::new_v4().to_string(),
            is_open: false,
        }
    }

    /// An error of another call that keeps this one from being made again.
    fn opened(&self, error: ModalError) -> ModalError {
        match error {
            ModalError::Call {
                call,
                status,
                is_open,
            } => ModalError::Call {
                call,
                status,
                is_open: is_open || self.is_open,
            },
            other => other,
        }
    }

    fn failed(&self, status: Status) -> ModalError {
        ModalError::Call {
            call: self.name,
            status: Box::new(status),
            is_open: self.is_open,
        }
    }
}

/// What Modal wants its users to read.
fn warn(call: &'static str, metadata: &MetadataMap) {
    for warning in metadata.get_all("x-modal-warning") {
        let text = warning.to_str().unwrap_or_default();
        let text = percent_decoded(text);
        tracing::warn!(call, "Modal warns: {text}");
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex = others.get(..2).filter(|_| *first == b'%');
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
