//! A provider plugin out of this program's reach: a child, an address or a library, opened again when it
//! has ended.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use pullwright_core::config::ProviderLink;
use pullwright_link::{
    ChildCommand, LinePeer, NativeLibrary, RpcError, RpcPeer, RpcSubscription, connect_websocket,
};
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use url::Url;

use crate::compose::host_tools::environment;

/// The peer of a row.
pub(super) struct RemotePeer {
    row: String,
    link: ProviderLink,
    open: Mutex<Option<Arc<Open>>>,
}

/// A connection, and what keeps it alive.
struct Open {
    peer: LinePeer,
    _guard: Box<dyn Any + Send + Sync>,
}

impl RemotePeer {
    pub(super) fn new(row: &str, link: ProviderLink) -> Self {
        Self {
            row: row.to_owned(),
            link,
            open: Mutex::new(None),
        }
    }

    /// The connection there is, or a new one.
    async fn connection(&self) -> Result<Arc<Open>, RpcError> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        let opened = connect(&self.row, &self.link).await;
        let opened = opened.map_err(|reason| RpcError::Closed {
            peer: self.row.clone(),
            reason,
        })?;
        Ok(Arc::clone(open.insert(Arc::new(opened))))
    }

    /// A new connection instead of one that turned out to have ended.
    async fn another(&self, ended: &Arc<Open>) -> Result<Arc<Open>, RpcError> {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, ended)) {
            *open = None;
        }
        drop(open);
        self.connection().await
    }
}

#[async_trait]
impl RpcPeer for RemotePeer {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let open = self.connection().await?;
        match open.peer.call(method, params).await {
            Err(RpcError::Closed { .. }) => {
                let open = self.another(&open).await?;
                open.peer.call(method, params).await
            }
            answer => answer,
        }
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let open = self.connection().await?;
        let subscribed = open
            .peer
            .subscribe(method, params, unsubscribe_method)
            .await;
        let kept = match subscribed {
            Err(RpcError::Closed { .. }) => {
                let open = self.another(&open).await?;
                let subscribed = open.peer.subscribe(method, params, unsubscribe_method);
                (subscribed.await?, open)
            }
            subscribed => (subscribed?, open),
        };
        // The connection lives as long as its last stream.
        let messages = stream::unfold(kept, async |mut kept| {
            let message = kept.0.next().await?;
            Some((message, kept))
        });
        Ok(RpcSubscription::new(messages))
    }
}

async fn connect(row: &str, link: &ProviderLink) -> Result<Open, String> {
    match link {
        ProviderLink::Command {
            command,
            args,
            env,
            env_vars,
        } => {
            let started = ChildCommand {
                name: row.to_owned(),
                program: command.into(),
                args: args.iter().map(OsString::from).collect(),
                env: environment(env, env_vars),
                cwd: None,
            }
            .spawn();
            let process = started.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: LinePeer::new(row, process.stdin, process.stdout),
                _guard: Box::new(process.guard),
            })
        }
        ProviderLink::Url {
            url,
            bearer_token_env_var,
        } => {
            let url = Url::parse(url).map_err(|error| format!("`url` is no address: {error}"))?;
            let token = bearer_token_env_var.as_deref().map(token_in).transpose()?;
            let connected = connect_websocket(&url, token.as_deref()).await;
            let connection = connected.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: LinePeer::new(row, connection.write, connection.read),
                _guard: Box::new(connection.guard),
            })
        }
        ProviderLink::Library { library, sha256 } => {
            let (name, library, sha256) = (row.to_owned(), library.clone(), sha256.clone());
            let opening = tokio::task::spawn_blocking(move || {
                NativeLibrary::load(&library, &sha256)?.open(&name)
            });
            let opened = opening.await.map_err(|error| error.to_string())?;
            let connection = opened.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: LinePeer::new(row, connection.write, connection.read),
                _guard: Box::new(connection.guard),
            })
        }
        ProviderLink::Wire(_) => Err("a wire format is spoken by this program itself".to_owned()),
    }
}

/// Read anew for every connection, so that a new token counts.
fn token_in(variable: &str) -> Result<String, String> {
    match std::env::var(variable) {
        Ok(token) if !token.is_empty() => Ok(token),
        _ => Err(format!(
            "the environment variable {variable}, named by `bearer_token_env_var`, is not set; put the \
             token there"
        )),
    }
}
