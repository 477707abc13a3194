//! One question to an API over HTTP and its streamed answer, with a bound on every wait.

use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::{Delta, ProviderError};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use tokio::time::Instant;
use url::Url;

use crate::access::{Access, KeyPlace};
use crate::excerpt::{on_one_line, without_middle};
use crate::http::{HttpClient, StreamLimits, transport, transport_error};
use crate::kit::{DeltaSender, Finish};
use crate::secret::Secret;

mod beginning;
mod rejection;

use beginning::Beginning;

pub(crate) use beginning::Form;
pub(crate) use rejection::{Rejection, header, rate_limit_reset, retry_after};

/// How long a complete reply waits for the end of its connection's answer, so that the connection
/// can be used again. A server that keeps it open must not hold the reply up.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reply that is good may take to say the rest that is expected of it.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a reader is told that something comes which is no part of a reply.
const PULSE: Duration = Duration::from_secs(60);
/// How much of a rejection is read: an error page must not fill our memory.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Makes deltas from the bytes of one answer.
pub(crate) trait ReplyParser: Send {
    /// What its bytes are.
    const FORM: Form = Form::Events;

    /// Takes the next bytes, however they are cut. Deltas go to `out`, also before an error.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<(), ProviderError>;

    /// Whether the reply is whole if nothing more comes.
    fn is_complete(&self) -> bool;

    /// Whether the reply is good if the connection breaks now, though more is expected: some services say
    /// why a reply ended before they say what it used.
    fn is_enough(&self) -> bool {
        self.is_complete()
    }

    /// The error that the API means by an answer that is one error and no reply, were it a success by its status.
    fn refusal(&self, body: &[u8]) -> ProviderError;

    /// What people should know, as far as it was not told yet.
    fn notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Nothing more comes. Says how the reply ended, or that it was cut off.
    fn end(&mut self, out: &mut Vec<Delta>) -> Result<Finish, ProviderError>;
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// As much of it as is worth reading.
    pub(crate) body: Vec<u8>,
}

/// An answer that is a success by its status, of which nothing else is read yet.
#[derive(Debug)]
pub(crate) struct Success {
    response: Response,
    /// The key that was sent.
    key: Option<Secret>,
    beginning: Beginning,
}

/// Until when what comes after a reply is waited for, once it is whole or good enough.
#[derive(Debug, Default)]
struct Waits {
    settled: Option<Instant>,
    enough: Option<Instant>,
}

impl Success {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

/// What all exchanges with one API share.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    name: Arc<str>,
    http: HttpClient,
    access: Access,
    key_place: KeyPlace,
    limits: StreamLimits,
}

impl Exchange {
    pub(crate) fn new(
        name: &str,
        http: HttpClient,
        access: Access,
        key_place: KeyPlace,
        limits: StreamLimits,
    ) -> Self {
        Self {
            name: name.into(),
            http,
            access,
            key_place,
            limits,
        }
    }

    /// A question with a JSON body and a streamed answer, to which the wire format may add headers.
    pub(crate) fn post(&self, url: &Url, body: Vec<u8>) -> RequestBuilder {
        self.post_for("text/event-stream", url, body)
    }

    /// The same for an answer of another media type.
    pub(crate) fn post_for(
        &self,
        accept: &'static str,
        url: &Url,
        body: Vec<u8>,
    ) -> RequestBuilder {
        let question = self.http.client.post(url.clone());
        question
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, accept)
            .body(body)
    }

    /// Sends the question with the key and waits for the head of the answer, which is a success:
    /// `refused` makes an error of any other.
    pub(crate) async fn ask(
        &self,
        question: RequestBuilder,
        refused: impl FnOnce(&Refused) -> ProviderError,
    ) -> Result<Success, ProviderError> {
        let (headers, key) = self.access.headers(&self.name, &self.key_place).await?;
        let response = self.send(question.headers(headers)).await?;
        if response.status().is_success() {
            return Ok(Success {
                beginning: Beginning::of(&response),
                response,
                key,
            });
        }
        let error = refused(&Refused {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: self.error_body(response).await,
        });
        Err(self.presentable(error, key.as_ref()).await)
    }

    async fn send(&self, question: RequestBuilder) -> Result<Response, ProviderError> {
        let limit = self.limits.first_byte;
        match tokio::time::timeout(limit, question.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(transport(&self.name, error)),
            Err(_) => Err(self.silent("did not answer", limit)),
        }
    }

    /// Streams the answer through `parser` to `deltas`.
    pub(crate) async fn read<P: ReplyParser>(
        &self,
        mut success: Success,
        parser: &mut P,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let (mut waits, mut pulse) = (Waits::default(), Pulse::new());
        let mut left = self.limits.bytes;
        while let Some(piece) = self
            .piece(&mut success.response, parser, &mut waits)
            .await?
        {
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| self.endless())?;
            success.beginning.add(&piece);
            let mut out = Vec::new();
            let taken = parser.push(&piece, &mut out);
            success.beginning.is_reply |= !out.is_empty();
            pulse.keep(&out, deltas).await?;
            self.send_all(out, parser.notices(), deltas).await?;
            if let Err(error) = taken {
                return Err(self.explained(error, success, parser).await);
            }
        }
        success.beginning.is_whole = !success.beginning.is_cut;
        let mut out = Vec::new();
        let finish = parser.end(&mut out);
        success.beginning.is_reply |= !out.is_empty();
        self.send_all(out, parser.notices(), deltas).await?;
        match finish {
            Ok(finish) => Ok(finish),
            Err(error) => Err(self.explained(error, success, parser).await),
        }
    }

    /// The next piece of the answer, or its end. What comes after a good reply is waited for no longer than
    /// is worth it.
    async fn piece(
        &self,
        response: &mut Response,
        parser: &impl ReplyParser,
        waits: &mut Waits,
    ) -> Result<Option<bytes::Bytes>, ProviderError> {
        let (wait, most) = if parser.is_complete() {
            (&mut waits.settled, SETTLE_TIMEOUT)
        } else if parser.is_enough() {
            (&mut waits.enough, LAST_WORDS_TIMEOUT)
        } else {
            return self.next_piece(response).await;
        };
        let until = *wait.get_or_insert_with(|| Instant::now() + most);
        Ok(self.rest(response, until).await)
    }

    /// The error of a parser, in the words of what the answer is if nothing of it was a reply.
    async fn explained<P: ReplyParser>(
        &self,
        error: ProviderError,
        success: Success,
        parser: &P,
    ) -> ProviderError {
        let Success {
            mut response,
            key,
            mut beginning,
        } = success;
        if !beginning.is_reply && !beginning.looks_like(Form::Events) {
            let until = Instant::now() + SETTLE_TIMEOUT;
            while !beginning.is_cut {
                match tokio::time::timeout_at(until, response.chunk()).await {
                    Ok(Ok(Some(piece))) => beginning.add(&piece),
                    ended => {
                        beginning.is_whole = matches!(ended, Ok(Ok(None)));
                        break;
                    }
                }
            }
        }
        if !beginning.is_whole {
            self.access.cut_off_half_secret(&mut beginning.body).await;
        }
        let refusal = |body: &[u8]| parser.refusal(body);
        let mut error = beginning.explain(error, &self.name, P::FORM, refusal);
        let asked = retry_after(response.headers());
        let asked = asked.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        error.retry_after_ms = error.retry_after_ms.or(asked);
        self.presentable(error, key.as_ref()).await
    }

    async fn next_piece(
        &self,
        response: &mut Response,
    ) -> Result<Option<bytes::Bytes>, ProviderError> {
        let limit = self.limits.idle;
        match tokio::time::timeout(limit, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(transport(&self.name, error)),
            Err(_) => Err(self.silent("went silent in the middle of a reply", limit)),
        }
    }

    /// What comes after a complete reply is waited for, but whatever goes wrong there is no loss.
    async fn rest(&self, response: &mut Response, until: Instant) -> Option<bytes::Bytes> {
        let Ok(rest) = tokio::time::timeout_at(until, response.chunk()).await else {
            tracing::debug!(provider = %self.name, "the connection stays open after the reply");
            return None;
        };
        rest.ok().flatten()
    }

    /// As much of an error answer's body as is worth reading.
    async fn error_body(&self, mut response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let room = MAX_ERROR_BODY_BYTES - body.len();
            match self.next_piece(&mut response).await {
                Ok(None) => return body,
                Ok(Some(piece)) if piece.len() < room => body.extend_from_slice(&piece),
                broken_off => {
                    let last = broken_off.ok().flatten().unwrap_or_default();
                    body.extend_from_slice(&last[..last.len().min(room)]);
                    self.access.cut_off_half_secret(&mut body).await;
                    return body;
                }
            }
        }
    }

    /// An error without secrets, and only then without its middle. Whether another key helps is known here.
    async fn presentable(&self, error: ProviderError, key: Option<&Secret>) -> ProviderError {
        let message = self.access.hide(error.message).await;
        let mut error = ProviderError {
            message: without_middle(message),
            ..error
        };
        if error.kind == FailureKind::ProviderAuth {
            error.retryable = self.access.refused(key).await;
        }
        error
    }

    /// A service's own words are told like those of an error: without secrets, and on one line.
    async fn send_all(
        &self,
        out: Vec<Delta>,
        notices: Vec<String>,
        deltas: &DeltaSender,
    ) -> Result<(), ProviderError> {
        for notice in notices {
            let notice = self.access.hide(notice).await;
            deltas.notice(on_one_line(&notice)).await?;
        }
        for delta in out {
            deltas.send(delta).await?;
        }
        Ok(())
    }

    fn endless(&self) -> ProviderError {
        let (name, most) = (&self.name, self.limits.bytes);
        ProviderError {
            kind: FailureKind::MalformedReply,
            message: format!("{name}: the reply has more than {most} bytes"),
            retryable: false,
            retry_after_ms: None,
        }
    }

    fn silent(&self, what: &str, limit: Duration) -> ProviderError {
        transport_error(format!("{}: the API {what} for {limit:?}", self.name))
    }
}

/// Says that a service is at work where it sends nothing that is a part of the reply, such as comments.
struct Pulse(Instant);

impl Pulse {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// Something came, of which `out` was made.
    async fn keep(&mut self, out: &[Delta], deltas: &DeltaSender) -> Result<(), ProviderError> {
        if out.is_empty() && self.0.elapsed() < PULSE {
            return Ok(());
        }
        if out.is_empty() {
            deltas.alive().await?;
        }
        self.0 = Instant::now();
        Ok(())
    }
}

/// The end came before the reply's own.
pub(crate) fn cut_off(provider: &str) -> ProviderError {
    transport_error(format!("{provider}: the stream ended before the reply did"))
}

/// A piece of the stream is not what the API's documentation says.
pub(crate) fn senseless(provider: &str, error: &serde_json::Error) -> ProviderError {
    transport_error(format!(
        "{provider}: an event of the stream makes no sense: {error}"
    ))
}

/// `base` with `path` appended. Names of models come from requests, so nothing in them may climb out
/// of the path or end it.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}
