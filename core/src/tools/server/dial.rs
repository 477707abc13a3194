//! Opening a connection: the link, and the handshake of the server's era.

use std::sync::Arc;
use std::time::Duration;

use pullwright_link::{McpHttp, McpHttpError};
use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
};

use super::connection::{Connection, MAX_MESSAGE_BYTES, Wiring};
use super::error::ToolServerError;
use super::handler::Handler;
use super::options::ToolServerOptions;
use super::transport::{DISCOVER_TIMEOUT, Watched};
use crate::tools::connector::{Connector, ToolIo};

/// How often a broken stream of an HTTP server is resumed before the call it belongs to fails.
const MAX_STREAM_RESUMPTIONS: usize = 3;
/// The longest pause before that.
const MAX_RESUMPTION_PAUSE: Duration = Duration::from_secs(5);

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// With a handshake, until 2025-11-25.
    Legacy,
    /// Without one, from 2026-07-28 on.
    Modern,
}

/// Why one attempt failed, and what that says about the next.
struct Missed {
    error: ToolServerError,
    /// The server ended when it was asked which era it lives in.
    ended_when_asked: bool,
    /// It took long to say, and the handshake failed then.
    slow_to_say: bool,
}

/// Opens a connection in the era given, or finds out which it is.
pub(super) async fn dial(
    options: &ToolServerOptions,
    connector: &dyn Connector,
    era: Option<Era>,
) -> Result<Connection, ToolServerError> {
    let era = if options.builtin {
        Some(Era::Legacy)
    } else {
        era
    };
    let missed = match attempt(options, connector, era).await {
        Ok(connection) => return Ok(connection),
        Err(missed) => missed,
    };
    let next = match era {
        None if missed.ended_when_asked => Era::Legacy,
        None if missed.slow_to_say => Era::Modern,
        _ => return Err(missed.error),
    };
    let attempt = attempt(options, connector, Some(next)).await;
    attempt.map_err(|missed| missed.error)
}

async fn attempt(
    options: &ToolServerOptions,
    connector: &dyn Connector,
    era: Option<Era>,
) -> Result<Connection, Missed> {
    let opened = connector.open().await;
    let io = opened.map_err(|error| Missed {
        error,
        ended_when_asked: false,
        slow_to_say: false,
    })?;
    let mut wiring = Wiring::new();
    let signals = wiring.signals.clone();
    let handler = Handler {
        server: options.name.clone(),
        router: Arc::clone(&wiring.router),
        list_changed: Arc::clone(&wiring.list_changed),
    };
    match serve(handler, io, &mut wiring, era).await {
        Ok(service) => Ok(Connection::new(service, wiring)),
        Err(error) => Err(Missed {
            ended_when_asked: signals.ended.is_cancelled() && signals.probe_unanswered(),
            slow_to_say: signals.probe_timed_out(),
            error: ToolServerError::startup(&options.name, in_plain_words(&error, &wiring)),
        }),
    }
}

async fn serve(
    handler: Handler,
    io: ToolIo,
    wiring: &mut Wiring,
    era: Option<Era>,
) -> Result<RunningService<RoleClient, Handler>, ClientInitializeError> {
    let (router, signals) = (Arc::clone(&wiring.router), wiring.signals.clone());
    let lifecycle = lifecycle(era);
    // Only while the era is open may silence mean the older one.
    let patience = era.is_none().then_some(DISCOVER_TIMEOUT);
    match io {
        ToolIo::Bytes { read, write, guard } => {
            wiring.guard = Some(guard);
            let reader = wiring.limited(read);
            let transport =
                AsyncRwTransport::new_client(reader, write).with_max_line_length(MAX_MESSAGE_BYTES);
            let transport = Watched::new(transport, router, signals, patience);
            handler.serve_with_lifecycle(transport, lifecycle).await
        }
        ToolIo::Http(http) => {
            wiring.http = Some(http.clone());
            let config = http_config(&http);
            let transport = StreamableHttpClientTransport::with_client(http, config);
            let transport = Watched::new(transport, router, signals, patience);
            handler.serve_with_lifecycle(transport, lifecycle).await
        }
    }
}

/// A forgotten session is found anew by us, because its server may be another one by then.
fn http_config(http: &McpHttp) -> StreamableHttpClientTransportConfig {
    let mut retry = ExponentialBackoff::default();
    retry.max_times = Some(MAX_STREAM_RESUMPTIONS);
    retry.max_delay = Some(MAX_RESUMPTION_PAUSE);
    let mut config = StreamableHttpClientTransportConfig::with_uri(http.url())
        .max_sse_event_size(MAX_MESSAGE_BYTES)
        .max_json_response_size(MAX_MESSAGE_BYTES)
        .reinit_on_expired_session(false);
    config.retry_config = Arc::new(retry);
    config
}

fn lifecycle(era: Option<Era>) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::LATEST];
    match era {
        Some(Era::Legacy) => ClientLifecycleMode::Initialize,
        Some(Era::Modern) => ClientLifecycleMode::Discover { preferred_versions },
        None => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: None,
        },
    }
}

/// The SDK's words name its own types; what is said here is for whoever wrote the row.
fn in_plain_words(error: &ClientInitializeError, wiring: &Wiring) -> String {
    if let Some(trouble) = wiring.http.as_ref().and_then(McpHttp::take_trouble) {
        return trouble.to_string();
    }
    match error {
        ClientInitializeError::TransportError { error, .. } if wiring.http.is_some() => match error
            .error
            .downcast_ref::<StreamableHttpError<McpHttpError>>()
        {
            Some(error) => error.to_string(),
            None => error.error.to_string(),
        },
        ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::TransportError { .. } => {
            "it ended, or closed its output, before it answered; its standard error is in the \
             server's log"
                .to_owned()
        }
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
            in_plain_words(fallback, wiring)
        }
        other => other.to_string(),
    }
}
