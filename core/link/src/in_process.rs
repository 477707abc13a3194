//! A peer in this process: a jsonrpsee module, called without a socket in between.

use std::fmt;

use async_trait::async_trait;
use futures_util::stream;
use jsonrpsee::Methods;
use jsonrpsee::core::server::{MethodsError, Subscription};
use jsonrpsee::core::traits::ToRpcParams;
use serde_json::value::RawValue;

use crate::rpc::{RpcError, RpcPeer, RpcSubscription};

/// How many notifications may wait for a slow subscriber before the producer waits too.
const STREAM_BUFFER_MESSAGES: usize = 64;

/// A jsonrpsee `RpcModule` as a peer. Give each peer a module of its own: all callers share one
/// connection id.
pub struct InProcessPeer {
    name: String,
    methods: Methods,
}

impl InProcessPeer {
    /// The peer that `module` is. `name` is how errors call it.
    pub fn new(name: impl Into<String>, module: impl Into<Methods>) -> Self {
        Self {
            name: name.into(),
            methods: module.into(),
        }
    }
}

#[async_trait]
impl RpcPeer for InProcessPeer {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let answer = self.methods.call(method, Written(params)).await;
        answer.map_err(|error| explain(&self.name, method, error))
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        _unsubscribe_method: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let opened = self
            .methods
            .subscribe(method, Written(params), STREAM_BUFFER_MESSAGES)
            .await;
        let opened = opened.map_err(|error| explain(&self.name, method, error))?;
        let source = Source {
            peer: self.name.clone(),
            method: method.to_owned(),
            subscription: opened,
        };
        Ok(RpcSubscription::new(stream::unfold(Some(source), next)))
    }
}

impl fmt::Debug for InProcessPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessPeer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Parameters that are JSON already. They may hold a whole conversation, so they are handed over as
/// they are: within an envelope every one of their bytes would be read once more to find its end.
struct Written<'a>(&'a RawValue);

impl ToRpcParams for Written<'_> {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0.to_owned()))
    }
}

/// Dropping the subscription closes the module's sink, which is its unsubscribe.
struct Source {
    peer: String,
    method: String,
    subscription: Subscription,
}

/// The next notification; nothing follows an error.
async fn next(source: Option<Source>) -> Option<(Result<Box<RawValue>, RpcError>, Option<Source>)> {
    let mut source = source?;
    match source.subscription.next::<Box<RawValue>>().await? {
        Ok((message, _)) => Some((Ok(message), Some(source))),
        Err(error) => {
            let error = explain(&source.peer, &source.method, error);
            Some((Err(error), None))
        }
    }
}

fn explain(peer: &str, method: &str, error: MethodsError) -> RpcError {
    let (peer, method) = (peer.to_owned(), method.to_owned());
    match error {
        MethodsError::JsonRpc(error) => RpcError::Refused {
            peer,
            method,
            code: error.code().into(),
            message: match error.data() {
                Some(data) => format!("{}: {data}", error.message()),
                None => error.message().to_owned(),
            },
        },
        error => RpcError::Malformed {
            peer,
            method,
            reason: error.to_string(),
        },
    }
}
