//! The span of whoever sent a request, from its `traceparent` header (W3C Trace Context).

use std::collections::HashMap;

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";

/// The caller's span; nothing where the header is absent, there twice or not sound. `tracestate` is of no
/// use for a link and may be long, so it is not read.
pub(super) fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), value.to_str().ok()?.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let caller = context.span().span_context().clone();
    caller.is_valid().then_some(caller)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_sound_header_names_a_span() {
        let caller = caller(&headers(&[SOUND.as_bytes()])).unwrap();
        assert_eq!(
            caller.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(caller.span_id().to_string(), "b7ad6b7169203331");
    }

    #[test]
    fn any_other_is_ignored() {
        let long = "0".repeat(100_000);
        let zeros = "00-00000000000000000000000000000000-0000000000000000-01";
        for hostile in [
            "",
            "-",
            "00",
            "\u{e4}\u{f6}",
            &long,
            zeros,
            &SOUND.to_uppercase(),
        ] {
            assert_eq!(caller(&headers(&[hostile.as_bytes()])), None, "{hostile}");
        }
        assert_eq!(caller(&headers(&[b"\xff\xfe"])), None);
        assert_eq!(
            caller(&headers(&[SOUND.as_bytes(), SOUND.as_bytes()])),
            None
        );
        assert_eq!(caller(&HeaderMap::new()), None);
    }
}
