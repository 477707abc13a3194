//! One request over plain HTTP, carried to its server and back.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Uri;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::host::Target;
use super::inbound::{Inbound, OneRequest};
use super::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use super::meter::Metered;
use super::request::HttpRequest;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// The client has the answer, and the connection is where the next request begins.
    Whole,
    /// The client has part of the answer, or has gone.
    Broken,
    /// The client has nothing.
    NoAnswer,
}

/// Fields that are meant for one connection.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// And all fields that begin so.
const FOR_PROXIES: &str = "proxy-";

/// Fields that say where the message goes and where it ends. They are set by us and by hyper,
/// whatever `Connection` says of them.
const FRAMING: [HeaderName; 3] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// Carries the request with which the connection begins, and its answer.
pub(super) async fn forward(
    inbound: &mut Inbound,
    outbound: Metered<TcpStream>,
    target: &Target,
    http: &HttpRequest,
    head_bytes: usize,
) -> Carried {
    let mut speaking = client::Builder::new();
    let connecting = speaking
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(outbound));
    let Ok((sender, to_server)) = connecting.await else {
        return Carried::NoAnswer;
    };
    let exchange = Exchange {
        sender: Mutex::new(Some(sender)),
        has_failed: AtomicBool::new(false),
        target,
        http,
    };
    let mut left = http
        .body
        .map_or(u64::MAX, |body| body.saturating_add(head_bytes as u64));
    let mut serving = server::Builder::new();
    // The request ends, and with it what hyper can read; that does not mean the client is gone.
    serving.half_close(true);
    serving.auto_date_header(false).header_read_timeout(None);
    serving
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let service = service_fn(|request| exchange.answer(request));
    let io = TokioIo::new(OneRequest::new(inbound, &mut left));
    let served = {
        let mut to_server = pin!(to_server);
        let mut to_client = pin!(serving.serve_connection(io, service));
        tokio::select! {
            served = &mut to_client => served,
            _ = &mut to_server => to_client.await,
        }
    };
    exchange.outcome(served.is_ok(), left)
}

/// The one request, its way to the server, and whether that failed.
struct Exchange<'a> {
    sender: Mutex<Option<SendRequest<Incoming>>>,
    has_failed: AtomicBool,
    target: &'a Target,
    http: &'a HttpRequest,
}

impl Exchange<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Unanswered> {
        let sender = self.sender.lock().ok().and_then(|mut sender| sender.take());
        // There is one request, so hyper never asks twice.
        let mut sender = sender.ok_or(Unanswered)?;
        let request = self.outgoing(request)?;
        let answer = sender.send_request(request).await;
        match answer {
            Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                Ok(self.incoming(response))
            }
            Err(error) if error.is_user() => Err(Unanswered),
            _ => {
                self.has_failed.store(true, Ordering::Relaxed);
                Err(Unanswered)
            }
        }
    }

    /// The request as the server is to see it.
    fn outgoing(&self, mut request: Request<Incoming>) -> Result<Request<Incoming>, Unanswered> {
        let host = HeaderValue::try_from(self.target.http_authority()).map_err(|_| Unanswered)?;
        *request.uri_mut() = Uri::from(self.http.path.clone());
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        strip_hop_by_hop(headers);
        headers.remove(header::EXPECT);
        headers.insert(header::HOST, host);
        Ok(request)
    }

    /// The answer as the client is to see it.
    fn incoming(&self, mut response: Response<Incoming>) -> Response<Incoming> {
        let headers = response.headers_mut();
        strip_hop_by_hop(headers);
        if self.http.is_last {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn outcome(&self, is_served: bool, left: u64) -> Carried {
        match is_served {
            true if left == 0 => Carried::Whole,
            false if self.has_failed.load(Ordering::Relaxed) => Carried::NoAnswer,
            _ => Carried::Broken,
        }
    }
}

/// That there is no answer, which makes hyper say nothing.
#[derive(Debug, thiserror::Error)]
#[error("the server gave no answer")]
struct Unanswered;

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed = headers.get_all(header::CONNECTION).iter();
    let listed = listed.filter_map(|value| value.to_str().ok());
    let listed = listed.flat_map(|value| value.split(','));
    let listed = listed.filter_map(|name| name.trim().parse().ok());
    let listed: Vec<HeaderName> = listed.filter(|name| !FRAMING.contains(name)).collect();
    let for_proxies = headers
        .keys()
        .filter(|name| name.as_str().starts_with(FOR_PROXIES));
    let for_proxies: Vec<HeaderName> = for_proxies.cloned().collect();
    for name in listed.iter().chain(&for_proxies).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
