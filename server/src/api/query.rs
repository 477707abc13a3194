//! Query parameters and headers that say how to stream.

use axum::http::HeaderMap;
use pullwright_protocol::FrameOptions;
use url::form_urlencoded;

use super::ApiProblem;
use super::body::nearest;
use super::forge_token::misplaced;

/// The longest idempotency key, in bytes: it is kept with the run.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// The most digits of an event's number. No log has so many events.
pub(super) const MAX_EVENT_DIGITS: usize = 18;

/// The parameters of one request, checked against those that the route knows.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: Option<&str>, known: &[&str]) -> Result<Self, ApiProblem> {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes());
        let pairs: Vec<_> = pairs.into_owned().collect();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                if let Some(problem) = misplaced(name) {
                    return Err(problem);
                }
                let hint = nearest(name, known.iter().copied());
                let message = format!("unknown query parameter `{name}`{hint}");
                return Err(ApiProblem::bad_request(message));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                let message = format!("query parameter `{name}` is given twice");
                return Err(ApiProblem::bad_request(message));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn frames(&self) -> Result<FrameOptions, ApiProblem> {
        let deltas = match self.get("deltas") {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                let message = format!("query parameter `deltas` is `{other}`; use 0 or 1");
                return Err(ApiProblem::bad_request(message));
            }
        };
        Ok(FrameOptions { deltas })
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiProblem> {
        let parse = |text: &str| whole_number(&format!("query parameter `{name}`"), text);
        self.get(name).map(parse).transpose()
    }

    /// How many things a page has: `usual` unless asked otherwise, and `most` at most.
    pub(super) fn limit(&self, usual: u64, most: u64) -> Result<usize, ApiProblem> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if !(1..=most).contains(&limit) {
            let message = format!("query parameter `limit` is {limit}; use 1 to {most}");
            return Err(ApiProblem::bad_request(message));
        }
        Ok(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The number of the last event the client has.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiProblem> {
    match text(headers, "Last-Event-ID")? {
        None | Some("") => Ok(None),
        Some(id) if id.len() > MAX_EVENT_DIGITS => Err(ApiProblem::bad_request(format!(
            "the Last-Event-ID header has more than {MAX_EVENT_DIGITS} digits"
        ))),
        Some(id) => whole_number("the Last-Event-ID header", id).map(Some),
    }
}

/// The key by which a retry joins the run that the same caller started.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiProblem> {
    let Some(key) = text(headers, "Idempotency-Key")? else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let message = format!("the Idempotency-Key header must have 1 to {MAX_KEY_BYTES} bytes");
        return Err(ApiProblem::bad_request(message));
    }
    Ok(Some(key.to_owned()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiProblem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    // A tab passes for visible there.
    let visible = value.to_str().ok().filter(|text| !text.contains('\t'));
    visible.map(Some).ok_or_else(|| {
        let message = format!(
            "the {name} header holds something else than visible ASCII characters and spaces"
        );
        ApiProblem::bad_request(message)
    })
}

fn whole_number(what: &str, text: &str) -> Result<u64, ApiProblem> {
    // Digits only: the parser would take a sign, too.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = digits.and_then(|digits| digits.parse::<u64>().ok());
    let parsed = parsed.filter(|n| i64::try_from(*n).is_ok());
    parsed.ok_or_else(|| ApiProblem::bad_request(format!("{what} is `{text}`, not a whole number")))
}
