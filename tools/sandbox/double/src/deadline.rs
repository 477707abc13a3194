//! Calls end when their time is over, as their clients count on.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// The header by which a call says how long it may take.
const HEADER: &str = "grpc-timeout";

/// Ends a call, and drops its handler, when its time is over.
pub(crate) async fn keep(request: Request, next: Next) -> Response {
    let limit = limit(request.headers().get(HEADER).map(HeaderValue::as_bytes));
    let answer = in_time(limit, next.run(request)).await;
    answer.unwrap_or_else(Status::into_http::<Body>)
}

/// How long a call may take that says so in its metadata.
pub(crate) fn of(metadata: &MetadataMap) -> Option<Duration> {
    limit(metadata.get(HEADER).map(AsciiMetadataValue::as_bytes))
}

/// What came of `work`, unless it takes longer than `limit`.
pub(crate) async fn in_time<T>(
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Status> {
    let Some(limit) = limit else {
        return Ok(work.await);
    };
    let late = |_| Status::deadline_exceeded("the time of the call is over");
    tokio::time::timeout(limit, work).await.map_err(late)
}

fn limit(header: Option<&[u8]>) -> Option<Duration> {
    parse(std::str::from_utf8(header?).ok()?)
}

/// Digits and a unit, as gRPC has it.
fn parse(said: &str) -> Option<Duration> {
    let (digits, unit) = said.split_at_checked(said.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_whose_time_is_over_is_told_so_and_dropped() {
        let held = Arc::new(());
        let by_handler = Arc::clone(&held);
        let hanging = async move || {
            let _held = Arc::clone(&by_handler);
            std::future::pending::<()>().await;
        };
        let app = Router::new()
            .route("/", get(hanging))
            .layer(axum::middleware::from_fn(keep));
        let request = Request::builder().header(HEADER, "20m");
        let request = request.body(Body::empty()).unwrap();
        let before = Arc::strong_count(&held);
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
        // The handler's own is gone, of which only the router's is left.
        assert_eq!(Arc::strong_count(&held), before);
    }

    #[test]
    fn times_are_read_as_grpc_writes_them() {
        for (said, expected) in [
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("60000000u", Some(Duration::from_secs(60))),
            ("5S", Some(Duration::from_secs(5))),
            ("5m", Some(Duration::from_millis(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("7x", None),
            ("", None),
            ("m", None),
        ] {
            assert_eq!(parse(said), expected, "{said}");
        }
    }
}
