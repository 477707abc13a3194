//! The output of a call, on its way to whoever watches.

use std::time::Duration;

use pullwright_protocol::tool::STREAMED_META_KEY;
use rmcp::model::CallToolResult;
use tokio::sync::mpsc;

use crate::tools::progress::{Piece, Reorder};

/// How long to wait for output that was streamed before the answer but is still on its way.
const LATE_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long it must be quiet after the answer of a server that does not say how much it streamed. The SDK
/// handles each notification in a task of its own, so an answer that came last may be seen first.
const QUIET: Duration = Duration::from_millis(20);

pub(super) async fn show(output: &mpsc::Sender<String>, text: String) {
    if !text.is_empty() {
        // Nobody listens when the run has ended in the meantime.
        let _ = output.send(text).await;
    }
}

/// Waits for streamed output that the answer has overtaken.
pub(super) async fn drain(
    result: &CallToolResult,
    pieces: &mut mpsc::Receiver<Piece>,
    order: &mut Reorder,
    output: &mpsc::Sender<String>,
) {
    let meta = result.meta.as_ref();
    let streamed = meta.and_then(|meta| meta.get(STREAMED_META_KEY)?.as_u64());
    let rest = async {
        let Some(streamed) = streamed else {
            while let Ok(Some(piece)) = tokio::time::timeout(QUIET, pieces.recv()).await {
                show(output, order.push(piece)).await;
            }
            return;
        };
        while order.shown() < streamed {
            let Some(piece) = pieces.recv().await else {
                return;
            };
            show(output, order.push(piece)).await;
        }
    };
    let _ = tokio::time::timeout(LATE_OUTPUT_TIMEOUT, rest).await;
}
