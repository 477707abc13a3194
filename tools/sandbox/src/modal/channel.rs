//! Connections to Modal.

use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Uri};

use super::account::is_this_machine;
use super::error::ModalError;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// As much of a stream may be under way as Modal's own clients allow: a long way must not slow it.
const WINDOW_BYTES: u32 = 64 * 1024 * 1024;

/// How often a silent connection is asked whether it is there, and how long it may take to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest message: what one piece of a process's output may be.
pub(super) const MAX_MESSAGE_BYTES: usize = 100 * 1024 * 1024;

/// A connection to `url` that is made when it is first needed, and again when it broke.
pub(super) fn connect(url: &Uri) -> Result<Channel, ModalError> {
    let endpoint = Endpoint::from(url.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let endpoint = match url.scheme_str() {
        Some("http") if is_this_machine(url) => endpoint,
        Some("https") => {
            // Another part of the process may have installed one already, which is as good.
            drop(rustls::crypto::ring::default_provider().install_default());
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint
                .tls_config(tls)
                .map_err(|error| ModalError::Address(format!("{url}: {error}")))?
        }
        _ => {
            let said = format!("Task router URL must be https, got: {url}");
            return Err(ModalError::Address(said));
        }
    };
    Ok(endpoint.connect_lazy())
}
