//! The loop's side of the provider protocol, for tests.

use std::sync::Arc;
use std::time::Duration;

use pullwright_link::{InProcessPeer, LinePeer, RpcPeer, RpcSubscription, to_params};
use pullwright_protocol::provider::{
    Aside, CANCEL_METHOD, Delta, INFO_METHOD, ProviderError, ProviderInfo, STREAM_METHOD,
    StreamRequest,
};
use pullwright_protocol::{Item, RawJson, ToolSpec};
use pullwright_providers::{Provider, rpc_module, serve_lines};

pub(crate) fn in_process(provider: Arc<dyn Provider>) -> InProcessPeer {
    InProcessPeer::new("provider", rpc_module(provider))
}

/// The provider behind the line codec, as a plugin's `serve_stdio` does it.
pub(crate) fn over_lines(provider: Arc<dyn Provider>) -> LinePeer {
    let (our_output, their_input) = tokio::io::simplex(64 * 1024);
    let (their_output, our_input) = tokio::io::simplex(64 * 1024);
    tokio::spawn(serve_lines(rpc_module(provider), our_output, our_input));
    LinePeer::new("provider", their_input, their_output)
}

pub(crate) async fn info(peer: &dyn RpcPeer) -> ProviderInfo {
    let answer = bounded(peer.call(INFO_METHOD, &to_params(&[0; 0]).unwrap()))
        .await
        .unwrap();
    serde_json::from_str(answer.get()).unwrap()
}

pub(crate) async fn subscribe(peer: &dyn RpcPeer, request: &StreamRequest) -> RpcSubscription {
    let params = to_params(request).unwrap();
    bounded(peer.subscribe(STREAM_METHOD, &params, CANCEL_METHOD))
        .await
        .unwrap()
}

pub(crate) async fn next(stream: &mut RpcSubscription) -> Delta {
    let message = bounded(stream.next())
        .await
        .expect("the stream ended without a last delta");
    serde_json::from_str(message.unwrap().get()).unwrap()
}

/// The whole reply, last delta included, as JSON lines.
pub(crate) async fn log(peer: &dyn RpcPeer, request: &StreamRequest) -> String {
    let mut stream = subscribe(peer, request).await;
    let mut log = String::new();
    loop {
        let message = bounded(stream.next())
            .await
            .expect("no last delta")
            .unwrap();
        log.push_str(message.get());
        log.push('\n');
        if read(message.get()).is_some_and(|delta| delta.is_last()) {
            return log;
        }
    }
}

/// The whole reply, last delta included.
pub(crate) async fn deltas(peer: &dyn RpcPeer, request: &StreamRequest) -> Vec<Delta> {
    log(peer, request).await.lines().filter_map(read).collect()
}

/// A message of a reply, unless it is an aside.
fn read(json: &str) -> Option<Delta> {
    if serde_json::from_str::<Aside>(json).is_ok() {
        return None;
    }
    Some(serde_json::from_str(json).unwrap())
}

pub(crate) fn items(deltas: &[Delta]) -> Vec<Item> {
    deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::Item { item } => Some(item.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn error(deltas: &[Delta]) -> &ProviderError {
    match deltas.last() {
        Some(Delta::Error { error }) => error,
        other => panic!("no error but {other:?}"),
    }
}

pub(crate) fn request(items: Vec<Item>) -> StreamRequest {
    StreamRequest {
        system: "You are a test.".into(),
        tools: vec![ToolSpec {
            name: "read".into(),
            description: "Reads a file.".into(),
            input_schema: RawJson::parse(
                r#"{"type":"object","properties":{"path":{"type":"string"}}}"#,
            )
            .unwrap(),
        }],
        items: items.into_iter().map(Arc::new).collect(),
        max_output_tokens: None,
        compact: false,
    }
}

/// Nothing here takes long; a hang must fail, not hang.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}
