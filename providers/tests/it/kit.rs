//! What the kit does for an author, whatever the author does.

use std::sync::Arc;

use async_trait::async_trait;
use pullwright_link::{RpcError, RpcPeer, to_params};
use pullwright_protocol::provider::{
    CANCEL_METHOD, Delta, ProviderError, ProviderInfo, STREAM_METHOD, StopReason, StreamRequest,
};
use pullwright_protocol::{FailureKind, Item, Provenance};
use pullwright_providers::{DeltaSender, Finish, Provider};
use tokio::sync::Notify;

use crate::client::{self, bounded, in_process, over_lines, request};

/// Behaves as the system prompt says.
#[derive(Default)]
struct Author {
    dropped: Arc<Notify>,
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Provider for Author {
    fn info(&self) -> ProviderInfo {
        ProviderInfo {
            provenance: Provenance {
                provider: "author".into(),
                wire: "none".into(),
                model: "m".into(),
                account: None,
            },
            context_tokens: Some(5),
            max_output_tokens: None,
            prices: None,
            compacts: false,
        }
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let _dropped = NotifyOnDrop(Arc::clone(&self.dropped));
        match request.system.as_str() {
            "panic" => panic!("on purpose"),
            "hang" => {
                deltas.send(Delta::Text { delta: "x".into() }).await?;
                std::future::pending().await
            }
            "flood" => loop {
                deltas.send(Delta::Text { delta: "x".into() }).await?;
            },
            _ => Ok(Finish {
                stop: StopReason::EndTurn,
                raw: "fine".into(),
            }),
        }
    }
}

fn asking(what: &str) -> StreamRequest {
    StreamRequest {
        system: what.into(),
        ..request(vec![Item::user("go")])
    }
}

#[tokio::test]
async fn info_is_answered() {
    let author = Arc::new(Author::default());
    assert_eq!(
        client::info(&in_process(author.clone())).await,
        author.info()
    );
    assert_eq!(
        client::info(&over_lines(author.clone())).await,
        author.info()
    );
}

#[tokio::test]
async fn the_finish_is_the_last_delta() {
    let peer = in_process(Arc::new(Author::default()));
    let expected = Delta::End {
        stop: StopReason::EndTurn,
        raw: "fine".into(),
    };
    assert_eq!(client::deltas(&peer, &asking("")).await, [expected]);
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_provider_lives_on() {
    let peer = in_process(Arc::new(Author::default()));
    let deltas = client::deltas(&peer, &asking("panic")).await;
    assert_eq!(client::error(&deltas).kind, FailureKind::Internal);
    assert_eq!(client::deltas(&peer, &asking("")).await.len(), 1);
}

#[tokio::test]
async fn cancelling_drops_the_work_even_where_it_hangs_or_floods() {
    for what in ["hang", "flood"] {
        let author = Arc::new(Author::default());
        let peers: [Box<dyn RpcPeer>; 2] = [
            Box::new(in_process(author.clone())),
            Box::new(over_lines(author.clone())),
        ];
        for peer in peers {
            let mut stream = client::subscribe(&*peer, &asking(what)).await;
            client::next(&mut stream).await;
            drop(stream);
            bounded(author.dropped.notified()).await;
        }
    }
}

#[tokio::test]
async fn a_request_of_the_wrong_shape_is_refused_by_name_of_the_field() {
    let author = Arc::new(Author::default());
    let peers: [Box<dyn RpcPeer>; 2] = [
        Box::new(in_process(author.clone())),
        Box::new(over_lines(author)),
    ];
    for peer in peers {
        let params = to_params(&serde_json::json!({ "system": "s", "items": [] })).unwrap();
        let error = bounded(peer.subscribe(STREAM_METHOD, &params, CANCEL_METHOD))
            .await
            .unwrap_err();
        let RpcError::Refused { message, code, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(code, -32602);
        assert!(message.contains("missing field `tools`"), "{message}");
    }
}
