//! The header `X-Forge-Token`: a caller's own token for the code host of its run.

use axum::http::{HeaderMap, StatusCode};
use pullwright_core::caller_token::CallerToken;
use pullwright_protocol::FailureKind;

use super::ApiProblem;
use crate::access::Visitor;

/// Its name.
pub(super) const FORGE_TOKEN: &str = "X-Forge-Token";

/// The token that came with a request, if one did.
pub(super) fn forge_token(
    headers: &HeaderMap,
    visitor: &Visitor,
) -> Result<Option<CallerToken>, ApiProblem> {
    let mut values = headers.get_all(FORGE_TOKEN).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(bad(format!(
            "the header {FORGE_TOKEN} is given more than once"
        )));
    }
    if !visitor.is_unheard() {
        return Err(bad(format!(
            "the token in {FORGE_TOKEN} came over plain HTTP from another machine, so others may have read it: \
             revoke it, and send one over HTTPS, through a proxy in `[server] trusted_proxies` that says so in \
             X-Forwarded-Proto"
        )));
    }
    let token = CallerToken::parse(value.as_bytes());
    let token =
        token.map_err(|why| bad(format!("the header {FORGE_TOKEN} holds no token: {why}")))?;
    Ok(Some(token))
}

/// What is said to somebody who puts a token where it would be written down; nothing if `name` is of something
/// else.
pub(super) fn misplaced(name: &str) -> Option<ApiProblem> {
    let is_token = name.to_ascii_lowercase().contains("token");
    is_token.then(|| {
        bad(format!(
            "a token is taken in the header {FORGE_TOKEN} only, since a URL or a body is written down in many \
             places; if what you sent is one, revoke it"
        ))
    })
}

fn bad(message: String) -> ApiProblem {
    ApiProblem::new(StatusCode::BAD_REQUEST, FailureKind::Credential, message)
}
