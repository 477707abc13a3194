//! Lists in pages: where the next one begins, as clients are told and as they say it.
//!
//! A cursor names the last thing of a page by its place in the list, so that what is added or removed
//! meanwhile moves nothing. It is opaque to clients.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use pullwright_core::store::RunPlace;
use pullwright_protocol::RunId;
use serde::Serialize;
use url::form_urlencoded;

use super::ApiProblem;

/// The longest id in a cursor, in characters: ours have 36.
const MAX_ID_CHARS: usize = 64;

/// Takes off what a list has beyond `limit`, which was asked for to learn whether more follows. Answers
/// the cursor of the next page.
pub(super) fn cut<T>(
    items: &mut Vec<T>,
    limit: usize,
    cursor: impl Fn(&T) -> String,
) -> Option<String> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(cursor)
}

/// A page, with the address of the next one as a `Link` (RFC 8288): the same request, but for
/// `parameter`.
pub(super) fn answer(
    page: impl Serialize,
    uri: &Uri,
    parameter: &str,
    next: Option<&str>,
) -> Response {
    let mut response = Json(page).into_response();
    if let Some(next) = next {
        link(response.headers_mut(), uri, parameter, next);
    }
    response
}

/// The cursor of a run.
pub(super) fn run_cursor(place: &RunPlace) -> String {
    format!("{:x}-{}", place.created_at_ms, place.id)
}

/// What such a cursor says.
pub(super) fn run_place(cursor: &str) -> Result<RunPlace, ApiProblem> {
    let broken = || broken(cursor);
    let (created, id) = cursor.split_once('-').ok_or_else(broken)?;
    let created_at_ms = u64::from_str_radix(created, 16)
        .ok()
        .filter(|ms| i64::try_from(*ms).is_ok())
        .ok_or_else(broken)?;
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let place = RunPlace {
        created_at_ms,
        id: RunId(id.to_owned()),
    };
    let is_sound = (1..=MAX_ID_CHARS).contains(&id.len())
        && id.chars().all(is_id)
        // Only as this server writes it: one place has one cursor.
        && run_cursor(&place) == cursor;
    is_sound.then_some(place).ok_or_else(broken)
}

/// The cursor of a numbered entry.
pub(super) fn entry_cursor(number: u64) -> String {
    number.to_string()
}

/// What such a cursor says.
pub(super) fn entry_number(cursor: &str) -> Result<u64, ApiProblem> {
    let number = cursor.parse::<i64>().ok().filter(|number| *number > 0);
    let number = number.map(i64::cast_unsigned);
    let number = number.filter(|number| entry_cursor(*number) == cursor);
    number.ok_or_else(|| broken(cursor))
}

fn broken(cursor: &str) -> ApiProblem {
    ApiProblem::bad_request(format!(
        "query parameter `after` is `{cursor}`, which is no cursor; \
         give it the `next` of the page before, unchanged"
    ))
}

fn link(headers: &mut HeaderMap, uri: &Uri, parameter: &str, next: &str) {
    let said = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(said.filter(|(name, _)| name != parameter))
        .append_pair(parameter, next)
        .finish();
    let link = format!("<{}?{query}>; rel=\"next\"", uri.path());
    if let Ok(link) = HeaderValue::try_from(link) {
        headers.insert(header::LINK, link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_what_it_was_made_of() {
        let place = RunPlace {
            created_at_ms: 1_796_000_000_123,
            id: RunId("01a20b02-0000-7000-8000-000000000000".to_owned()),
        };
        assert_eq!(run_place(&run_cursor(&place)), Ok(place));
        assert_eq!(entry_number(&entry_cursor(7)), Ok(7));
    }

    #[test]
    fn a_broken_cursor_is_refused() {
        for broken in [
            "",
            "-",
            "1",
            "1-",
            "-a",
            "x-a",
            "01-a",
            "+1-a",
            "1-a b",
            "1-é",
            "ffffffffffffffff-a",
        ] {
            let problem = run_place(broken).unwrap_err();
            assert_eq!(problem.status, 400, "{broken}");
            assert!(problem.message.contains("no cursor"), "{broken}");
        }
        for broken in ["", "0", "-1", "+1", "01", "x", "9223372036854775808"] {
            assert_eq!(entry_number(broken).unwrap_err().status, 400, "{broken}");
        }
    }
}
