//! Connections to Modal.

use std::sync::{Arc, Mutex, PoisonError};
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

/// How many sandboxes share a connection: each has a few streams open at a time, of which servers allow
/// a hundred or two.
const MAX_USERS: usize = 24;

/// The connections to command routers, which many sandboxes share where they are on one worker.
#[derive(Debug, Default)]
pub(super) struct Channels(Mutex<Vec<Shared>>);

/// A connection, used for as long as this value is there.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    url: Uri,
    pub(super) channel: Channel,
    users: Arc<()>,
}

impl Channels {
    /// A connection to `url` that is not too busy.
    pub(super) fn get(&self, url: &Uri) -> Result<Shared, ModalError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One user is this list.
        let users = |shared: &Shared| Arc::strong_count(&shared.users) - 1;
        let free = |shared: &&Shared| shared.url == *url && users(shared) < MAX_USERS;
        if let Some(shared) = all.iter().find(free) {
            return Ok(shared.clone());
        }
        all.retain(|shared| users(shared) > 0);
        let shared = Shared {
            url: url.clone(),
            channel: connect(url)?,
            users: Arc::new(()),
        };
        all.push(shared.clone());
        Ok(shared)
    }
}

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
