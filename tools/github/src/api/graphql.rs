//! GraphQL, the one place where GitHub's API does by one request what REST does not: its address, and its errors,
//! which come with a success.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use super::fault::{FieldError, Reason, Refused, forbidden, limited_for, said_at, shortened};

/// Where it is, below the base of REST; an Enterprise Server has it elsewhere.
pub(super) const ROUTE: &str = "/graphql";
/// The base of REST on an Enterprise Server with the route, and where GraphQL is there.
const BELOW_REST: &str = "/api/v3/graphql";
const ENTERPRISE: &str = "/api/graphql";

/// What an answer holds where something went wrong.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: Vec<QueryError>,
}

#[derive(Deserialize)]
struct QueryError {
    /// GitHub's word for it; absent where the query itself is wrong, or where GitHub broke.
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: String,
}

/// Whether GraphQL is asked, below whatever base. Repositories, branches and people can be named like it, and all of
/// them are asked for below this part of REST.
pub(super) fn is_asked(uri: &Uri) -> bool {
    uri.path().ends_with(ROUTE) && !uri.path().contains("/repos/")
}

/// The address to ask at, where it is not below that of REST.
pub(super) fn address(uri: &Uri) -> Option<Uri> {
    if uri.path() != BELOW_REST {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(ENTERPRISE.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// What a success refuses all the same.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refused> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let first = answer.errors.first()?;
    let reason = reason_of(first, headers);
    let said: Vec<String> = answer.errors.iter().map(QueryError::shown).collect();
    Some(Refused {
        status: status.as_u16(),
        wait: wait_for(&reason, headers),
        reason,
        message: shortened(&said.join("; ")),
        at: said_at(headers),
    })
}

fn wait_for(reason: &Reason, headers: &HeaderMap) -> Option<Duration> {
    let limits = [Reason::PrimaryLimit, Reason::SecondaryLimit];
    limits.contains(reason).then(|| limited_for(headers))
}

fn reason_of(error: &QueryError, headers: &HeaderMap) -> Reason {
    let message = error.message.to_ascii_lowercase();
    match error.kind.as_deref() {
        Some("STALE_DATA") => Reason::Stale,
        Some("NOT_FOUND") => Reason::NotFound,
        Some("INSUFFICIENT_SCOPES") => Reason::MissingRight { needed: None },
        Some("FORBIDDEN") if message.contains("saml") => Reason::SsoNeeded { page: None },
        Some("FORBIDDEN") => forbidden(StatusCode::FORBIDDEN, headers, &message),
        Some("RATE_LIMITED" | "RATE_LIMIT") => limit(&message),
        Some("INTERNAL" | "SERVICE_UNAVAILABLE" | "TIMEOUT") => Reason::Server,
        None if is_breakdown(&message) => Reason::Server,
        _ => Reason::Invalid {
            errors: vec![FieldError {
                field: None,
                code: error.kind.clone(),
                message: Some(error.message.clone()),
            }],
        },
    }
}

fn limit(message: &str) -> Reason {
    match message.contains("secondary") {
        true => Reason::SecondaryLimit,
        false => Reason::PrimaryLimit,
    }
}

/// A query that GitHub gave up has no word for it, and may have been carried out.
fn is_breakdown(message: &str) -> bool {
    ["something went wrong", "timeout", "timed out"]
        .iter()
        .any(|words| message.contains(words))
}

impl QueryError {
    fn shown(&self) -> String {
        match &self.kind {
            Some(kind) => format!("{kind}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(headers: &[(&'static str, &str)], body: &str) -> Option<Refused> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        refusal(StatusCode::OK, &headers, body.as_bytes())
    }

    fn reason(kind: &str, message: &str) -> Reason {
        let error = serde_json::json!({ "type": kind, "message": message });
        let body = serde_json::json!({ "data": { "x": null }, "errors": [error] });
        refused(&[], &body.to_string()).unwrap().reason
    }

    #[test]
    fn an_enterprise_server_has_it_beside_rest() {
        let to = |uri: &str| address(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(to("https://api.github.com/graphql"), None);
        let there = to("https://ghe.example.com:8443/api/v3/graphql");
        assert_eq!(
            there.as_deref(),
            Some("https://ghe.example.com:8443/api/graphql")
        );
        for path in [
            "/graphql",
            "/api/graphql",
            "/api/v3/graphql",
            "/gateway/graphql",
        ] {
            assert!(is_asked(&path.parse().unwrap()), "{path}");
        }
        for path in [
            "/repos/o/graphql",
            "/api/v3/repos/o/graphql",
            "/repos/o/r/git/ref/heads/graphql",
            "/repos/o/graphql/pulls",
        ] {
            assert!(!is_asked(&path.parse().unwrap()), "{path}");
        }
    }

    #[test]
    fn errors_are_told_apart_by_their_type() {
        let sso = "Resource protected by organization SAML enforcement.";
        assert_eq!(reason("FORBIDDEN", sso), Reason::SsoNeeded { page: None });
        let right = "Resource not accessible by integration";
        let missing = Reason::MissingRight { needed: None };
        assert_eq!(reason("FORBIDDEN", right), missing);
        assert_eq!(reason("FORBIDDEN", "No."), Reason::Forbidden);
        assert_eq!(reason("INSUFFICIENT_SCOPES", "Your token"), missing);
        assert_eq!(reason("NOT_FOUND", "Could not resolve"), Reason::NotFound);
        assert_eq!(reason("STALE_DATA", "Expected branch"), Reason::Stale);
        let secondary = "You have exceeded a secondary rate limit.";
        assert_eq!(reason("RATE_LIMITED", secondary), Reason::SecondaryLimit);
        assert_eq!(reason("INTERNAL", "x"), Reason::Server);
        let odd = reason("UNPROCESSABLE", "A path is wrong");
        assert!(matches!(odd, Reason::Invalid { .. }), "{odd:?}");
    }

    #[test]
    fn a_used_up_budget_says_how_long() {
        let body = r#"{"errors":[{"type":"RATE_LIMITED","message":"API rate limit exceeded"}]}"#;
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")];
        let limited = refused(&headers, body).unwrap();
        assert_eq!(limited.reason, Reason::PrimaryLimit);
        assert_eq!(limited.wait, Some(Duration::from_secs(1)));
        assert!(limited.to_string().contains("RATE_LIMITED"), "{limited}");
    }

    #[test]
    fn what_has_no_type_broke_or_is_wrong() {
        let broke = r#"{"data":null,"errors":[{"message":"Something went wrong while executing your query"}]}"#;
        assert_eq!(refused(&[], broke).unwrap().reason, Reason::Server);
        let wrong = r#"{"errors":[{"message":"Field 'x' doesn't exist"}]}"#;
        let wrong = refused(&[], wrong).unwrap();
        assert!(matches!(wrong.reason, Reason::Invalid { .. }), "{wrong}");
        assert_eq!(refused(&[], r#"{"data":{"x":1}}"#), None);
        assert_eq!(refused(&[], "<html>"), None);
    }
}
