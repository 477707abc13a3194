//! A peer behind a WebSocket address, as two byte streams with one message a line.
//!
//! A slow reader makes the peer wait: while nobody takes the lines, nothing is read from the socket.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a peer is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long a peer may be silent, answers to pings included, before it counts as gone.
const SILENCE_LIMIT: Duration = Duration::from_secs(65);

/// The longest message, in bytes, each way: a longer one would fill the memory.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How many bytes may be under way between the socket and its user, each way.
const PIPE_BYTES: usize = 64 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection.
pub struct WebSocketConnection {
    /// What the peer says.
    pub read: DuplexStream,
    /// What it is told.
    pub write: DuplexStream,
    /// Ends the connection when dropped.
    pub guard: WebSocketGuard,
}

/// Ends a connection when dropped.
#[derive(Debug)]
pub struct WebSocketGuard {
    _reading: AbortOnDropHandle<()>,
    _writing: AbortOnDropHandle<()>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// It took too long.
    #[error("{host} did not complete the handshake within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// The host.
        host: String,
    },
    /// The token cannot be sent.
    #[error("the token holds characters that a header cannot have")]
    Token,
    /// The peer, or the way to it, refuses.
    #[error("{host} cannot be connected: {reason}")]
    Refused {
        /// The host.
        host: String,
        /// What happened, without anything that was sent.
        reason: String,
    },
}

/// Connects to `url`, with a bearer token if one is given. Redirects are not followed: the token is for
/// this address.
///
/// # Errors
/// When there is no connection; the token is never named.
pub async fn connect_websocket(
    url: &Url,
    token: Option<&str>,
) -> Result<WebSocketConnection, WebSocketError> {
    // Another part of the process may have installed one already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let host = url.host_str().unwrap_or("the host").to_owned();
    let refused = |error: WsError| WebSocketError::Refused {
        host: host.clone(),
        reason: in_plain_words(&error),
    };
    let mut request = url.as_str().into_client_request().map_err(refused)?;
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| WebSocketError::Token)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connecting = connect_async_with_config(request, Some(config), true);
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(open(socket)),
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Err(WebSocketError::Timeout { host }),
    }
}

fn open(socket: Socket) -> WebSocketConnection {
    let (sink, stream) = socket.split();
    let (read, to_reader) = tokio::io::duplex(PIPE_BYTES);
    let (write, from_writer) = tokio::io::duplex(PIPE_BYTES);
    let reading = tokio::spawn(take_in(stream, to_reader));
    let writing = tokio::spawn(give_out(sink, from_writer));
    WebSocketConnection {
        read,
        write,
        guard: WebSocketGuard {
            _reading: AbortOnDropHandle::new(reading),
            _writing: AbortOnDropHandle::new(writing),
        },
    }
}

/// Every message becomes a line, until the peer leaves or is silent for too long.
async fn take_in(mut stream: SplitStream<Socket>, mut to_reader: DuplexStream) {
    loop {
        let message = match timeout(SILENCE_LIMIT, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return tracing::debug!(%error, "a WebSocket broke"),
            Ok(None) => return,
            Err(_) => return tracing::debug!("a WebSocket's peer is silent and counts as gone"),
        };
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return,
            // The protocol's own, or nothing that a peer of ours says.
            _ => continue,
        };
        // In JSON a line break is white space, never text.
        let mut line = text.replace(['\n', '\r'], " ").into_bytes();
        line.push(b'\n');
        if to_reader.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Every line becomes a message; where there is none for a while, a ping.
async fn give_out(mut sink: SplitSink<Socket, Message>, from_writer: DuplexStream) {
    let mut lines = BufReader::new(from_writer);
    let mut line = Vec::new();
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What is read of a line stays in `line` when a ping comes first.
        let mut bounded = (&mut lines).take((MAX_MESSAGE_BYTES + 1 - line.len()) as u64);
        let message = tokio::select! {
            read = bounded.read_until(b'\n', &mut line) => match read {
                Ok(read) if read > 0 && line.last() == Some(&b'\n') => {
                    line.pop();
                    let text = String::from_utf8(std::mem::take(&mut line));
                    text.ok().map(|text| Message::Text(text.into()))
                }
                _ => None,
            },
            _ = pings.tick() => Some(Message::Ping(Vec::new().into())),
        };
        let sent = match message {
            Some(message) => sink.send(message).await.is_ok(),
            None => false,
        };
        if !sent {
            let _ = sink.close().await;
            return;
        }
    }
}

/// What the library says may hold the whole answer, headers and all.
fn in_plain_words(error: &WsError) -> String {
    match error {
        WsError::Http(answer) if answer.status().is_redirection() => {
            format!(
                "it answered with a redirect ({}), which is not followed",
                answer.status()
            )
        }
        WsError::Http(answer) => format!("it answered {} instead of a WebSocket", answer.status()),
        other => other.to_string(),
    }
}
