//! The output of a call, on its way to whoever watches.

use std::time::Duration;

use pullwright_protocol::tool::STREAMED_META_KEY;
use rmcp::model::CallToolResult;
use tokio::sync::mpsc;

use crate::tools::progress::{Piece, Reorder};

/// How long to wait for output that was streamed before the answer but is still on its way.
const LATE_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

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
    let Some(streamed) = streamed else {
        while let Ok(piece) = pieces.try_recv() {
            show(output, order.push(piece)).await;
        }
        return;
    };
    let rest = async {
        while order.shown() < streamed {
            let Some(piece) = pieces.recv().await else {
                return;
            };
            show(output, order.push(piece)).await;
        }
    };
    let _ = tokio::time::timeout(LATE_OUTPUT_TIMEOUT, rest).await;
}
