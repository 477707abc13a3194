//! A provider as a JSON-RPC module.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jsonrpsee::core::{RegisterMethodError, RpcResult};
use jsonrpsee::types::error::INVALID_PARAMS_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule};
use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::{
    CANCEL_METHOD, DELTA_NOTIFICATION, Delta, INFO_METHOD, ProviderError, STREAM_METHOD,
    StreamRequest,
};

use super::known::{Known, UnreadRequest};
use super::provider::{DeltaSender, Finish, Provider};

type SharedProvider = Arc<dyn Provider>;

/// The provider protocol, answered by `provider`. One module serves one peer.
#[expect(
    clippy::expect_used,
    reason = "the names are three different constants and the module is new"
)]
#[must_use]
pub fn rpc_module(provider: SharedProvider) -> RpcModule<SharedProvider> {
    let mut module = RpcModule::new(provider);
    register(&mut module).expect("three different names in a new module");
    module
}

fn register(module: &mut RpcModule<SharedProvider>) -> Result<(), RegisterMethodError> {
    module.register_method(INFO_METHOD, |_, provider, _| RpcResult::Ok(provider.info()))?;
    let known = Arc::new(Known::default());
    module.register_subscription_raw(
        STREAM_METHOD,
        DELTA_NOTIFICATION,
        CANCEL_METHOD,
        move |params, pending, provider, _| {
            start(read(&params, &known), pending, Arc::clone(&provider));
        },
    )?;
    Ok(())
}

fn read(params: &Params<'_>, known: &Known) -> Result<StreamRequest, ErrorObjectOwned> {
    let request: UnreadRequest<'_> = params.parse()?;
    let invalid = |error: serde_json::Error| {
        ErrorObjectOwned::owned(INVALID_PARAMS_CODE, error.to_string(), None::<()>)
    };
    known.read(request).map_err(invalid)
}

fn start(
    request: Result<StreamRequest, ErrorObjectOwned>,
    pending: PendingSubscriptionSink,
    provider: SharedProvider,
) {
    match request {
        Ok(request) => drop(tokio::spawn(answer(provider, request, pending))),
        Err(error) => drop(tokio::spawn(reject(pending, error))),
    }
}

async fn reject(pending: PendingSubscriptionSink, error: ErrorObjectOwned) {
    pending.reject(error).await;
}

async fn answer(
    provider: SharedProvider,
    request: StreamRequest,
    pending: PendingSubscriptionSink,
) {
    let Ok(sink) = pending.accept().await else {
        return;
    };
    let deltas = DeltaSender::new(sink);
    let last = tokio::select! {
        last = last_delta(&*provider, request, &deltas) => last,
        () = deltas.cancelled() => return,
    };
    if deltas.send(last).await.is_err() {
        tracing::debug!("the reader left before the last delta");
    }
}

async fn last_delta(
    provider: &dyn Provider,
    request: StreamRequest,
    deltas: &DeltaSender,
) -> Delta {
    let work = AssertUnwindSafe(provider.stream(request, deltas));
    match work.catch_unwind().await {
        Ok(Ok(Finish { stop, raw })) => Delta::End { stop, raw },
        Ok(Err(error)) => Delta::Error { error },
        Err(_) => Delta::Error { error: panicked() },
    }
}

fn panicked() -> ProviderError {
    ProviderError {
        kind: FailureKind::Internal,
        message: "the provider panicked; its log says where".to_owned(),
        retryable: false,
        retry_after_ms: None,
    }
}
