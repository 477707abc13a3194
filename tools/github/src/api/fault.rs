//! What can go wrong between us and GitHub, told apart by what can be done about it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::app::AppFault;

/// A secondary limit without `Retry-After`: GitHub asks for at least this long.
const SECONDARY_LIMIT_WAIT: Duration = Duration::from_secs(60);
/// A message of GitHub is shown up to here, so that an HTML error page does not fill a log.
const MAX_MESSAGE_CHARS: usize = 500;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The request never left.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    /// The connection broke after the request was sent; it may have been carried out.
    #[error("the connection to {host} broke: {reason}")]
    Broken { host: String, reason: String },
    /// No whole answer came in time; the request may have been carried out.
    #[error("{host} did not answer within {seconds} s")]
    TimedOut { host: String, seconds: u64 },
    /// GitHub answered that it will not.
    #[error("{0}")]
    Refused(Refused),
    /// It was not sent, since a limit that GitHub has told of holds the account up.
    #[error("GitHub is not asked for another {} s, since {}", .left.as_secs() + 1, .reason.limit())]
    Held { reason: Reason, left: Duration },
    /// The answer makes no sense.
    #[error("the answer cannot be understood: {0}")]
    Nonsense(String),
    /// There is no token to ask with.
    #[error("{0}")]
    App(#[from] AppFault),
}

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HTTP {status}: {message}")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    /// GitHub's own words, errors of single fields included.
    pub(crate) message: String,
    /// How long to wait, where GitHub says so.
    pub(crate) wait: Option<Duration>,
    /// When GitHub said so, by its own clock.
    pub(crate) at: Option<SystemTime>,
}

/// Why GitHub refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The thing is elsewhere now.
    Moved { location: Option<String> },
    /// The token is wrong, expired or revoked.
    BadToken,
    /// The organisation wants single sign-on for this token.
    SsoNeeded { page: Option<String> },
    /// The hourly budget is used up.
    PrimaryLimit,
    /// Too much in too short a time.
    SecondaryLimit,
    /// The token lacks a right; GitHub may say which.
    MissingRight { needed: Option<String> },
    /// Refused for another reason.
    Forbidden,
    /// Not there, or not to be seen.
    NotFound,
    /// Switched off or deleted.
    Gone,
    /// Blocked for legal reasons.
    Blocked,
    /// The branch is not where the request expects it.
    Stale,
    /// The request's values are wrong.
    Invalid { errors: Vec<FieldError> },
    /// GitHub broke.
    Server,
    /// Anything else.
    Other,
}

/// What GitHub says about one value of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct FieldError {
    #[serde(default)]
    pub(crate) field: Option<String>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

impl Fault {
    /// Whether the same request may succeed a little later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Held { .. } => true,
            // A page of something between us and GitHub that is out of order, mostly.
            Self::Nonsense(_) => true,
            Self::Refused(refused) => matches!(
                refused.reason,
                Reason::Server | Reason::PrimaryLimit | Reason::SecondaryLimit
            ),
            Self::App(_) => false,
        }
    }

    /// Whether the request may have been carried out all the same.
    pub(crate) fn may_have_applied(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::TimedOut { .. } | Self::Nonsense(_) => true,
            Self::Refused(refused) => refused.reason == Reason::Server,
            Self::Unreachable { .. } | Self::Held { .. } | Self::App(_) => false,
        }
    }

    /// How long GitHub asks to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.wait,
            Self::Held { left, .. } => Some(*left),
            _ => None,
        }
    }

    /// Whether GitHub is asked too often, and nothing else is wrong.
    pub(crate) fn is_limit(&self) -> bool {
        let limits = [Reason::PrimaryLimit, Reason::SecondaryLimit];
        self.reason().is_some_and(|reason| limits.contains(reason))
    }

    /// The reason, where GitHub gave one.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Refused(refused) => Some(&refused.reason),
            Self::Held { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// What happened and what to do. `who` is whom GitHub refused, such as "the token in X".
    pub(crate) fn explain(&self, who: &str) -> String {
        match self {
            Self::Refused(refused) => format!("{self}; {}", refused.remedy(who)),
            Self::Unreachable { .. } => format!("{self}; check the network and the API's address"),
            Self::Broken { .. } | Self::TimedOut { .. } | Self::Held { .. } => {
                format!("{self}; try again later")
            }
            // What to do is part of it.
            Self::App(fault) => fault.to_string(),
            Self::Nonsense(_) => format!("{self}; check that the API's address is GitHub's"),
        }
    }
}

impl Reason {
    /// What a limit is about.
    fn limit(&self) -> &'static str {
        match self {
            Self::PrimaryLimit => "the hourly budget of the account is used up",
            _ => "the account made too many requests in too short a time",
        }
    }
}

impl Refused {
    fn remedy(&self, who: &str) -> String {
        match &self.reason {
            Reason::Moved { .. } => {
                "the repository was renamed or moved: use its new address".to_owned()
            }
            Reason::BadToken => {
                format!("{who} is wrong, expired or revoked: create a new one and set it")
            }
            Reason::SsoNeeded { page } => format!(
                "the organisation wants single sign-on: authorise {who}{}",
                page.as_ref()
                    .map(|page| format!(" at {page}"))
                    .unwrap_or_default()
            ),
            Reason::PrimaryLimit => {
                format!("the hourly budget of {who} is used up{}", self.waiting())
            }
            Reason::SecondaryLimit => {
                format!(
                    "{who} made too many requests in too short a time{}",
                    self.waiting()
                )
            }
            Reason::MissingRight { needed } => format!(
                "{who} lacks a right: give it {}, and see whether the organisation has yet to \
                 approve it",
                needed
                    .as_deref()
                    .unwrap_or("Contents and Pull requests: read and write")
            ),
            Reason::Forbidden => format!("{who} may not do this"),
            Reason::NotFound => format!("it does not exist, or {who} cannot see it"),
            Reason::Gone => "it was deleted or is switched off in this repository".to_owned(),
            Reason::Blocked => "it is blocked for legal reasons".to_owned(),
            Reason::Stale => {
                "the branch is not where it was: somebody pushed to it or removed it".to_owned()
            }
            Reason::Invalid { .. } => "GitHub does not accept these values".to_owned(),
            Reason::Server => "GitHub itself failed: try again later".to_owned(),
            Reason::Other => "this answer was not expected".to_owned(),
        }
    }

    fn waiting(&self) -> String {
        match self.wait {
            Some(wait) => format!(": wait {} s", wait.as_secs()),
            None => ": try again later".to_owned(),
        }
    }
}

/// octocrab hands our own errors back as the source of a service error.
impl From<octocrab::Error> for Fault {
    fn from(error: octocrab::Error) -> Self {
        match error {
            octocrab::Error::Service { source, .. } => match source.downcast::<Self>() {
                Ok(fault) => *fault,
                Err(other) => Self::Nonsense(other.to_string()),
            },
            // The text of the others ends in a backtrace on a line of its own.
            other => Self::Nonsense(first_line(&other.to_string())),
        }
    }
}

/// Tells an answer that is not a success apart.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refused {
    let said: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let message = said
        .message
        .clone()
        .unwrap_or_else(|| plain_message(status, body));
    let errors: Vec<FieldError> = said.errors.iter().map(field_error).collect();
    let reason = reason_of(status, headers, &message, &errors);
    let wait = match reason {
        Reason::PrimaryLimit | Reason::SecondaryLimit => Some(limited_for(headers)),
        Reason::Server => retry_after(headers),
        _ => None,
    };
    Refused {
        status: status.as_u16(),
        reason,
        message: with_errors(message, &errors),
        wait,
        at: said_at(headers),
    }
}

/// When an answer was made, by GitHub's clock.
pub(super) fn said_at(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(header(headers, "date")?).ok()
}

/// The body of GitHub's error answers.
#[derive(Default, Deserialize)]
struct ErrorBody {
    message: Option<String>,
    #[serde(default)]
    errors: Vec<Value>,
}

fn reason_of(
    status: StatusCode,
    headers: &HeaderMap,
    message: &str,
    errors: &[FieldError],
) -> Reason {
    match status.as_u16() {
        300..=399 => Reason::Moved {
            location: header(headers, "location").map(str::to_owned),
        },
        401 => Reason::BadToken,
        403 | 429 => forbidden(status, headers, &message.to_ascii_lowercase()),
        404 => Reason::NotFound,
        410 => Reason::Gone,
        422 => Reason::Invalid {
            errors: errors.to_vec(),
        },
        451 => Reason::Blocked,
        500..=599 => Reason::Server,
        _ => Reason::Other,
    }
}

/// 403 has at least five meanings; 429 is a limit of one of two kinds.
pub(super) fn forbidden(status: StatusCode, headers: &HeaderMap, message: &str) -> Reason {
    if let Some(sso) = header(headers, "x-github-sso") {
        let page = sso.split("url=").nth(1).map(str::to_owned);
        return Reason::SsoNeeded { page };
    }
    if message.contains("secondary rate limit") || message.contains("abuse detection") {
        return Reason::SecondaryLimit;
    }
    if header(headers, "x-ratelimit-remaining") == Some("0") {
        return Reason::PrimaryLimit;
    }
    if message.contains("rate limit") || status == StatusCode::TOO_MANY_REQUESTS {
        return Reason::SecondaryLimit;
    }
    if message.contains("resource not accessible") || message.contains("must have") {
        let needed = header(headers, "x-accepted-github-permissions").map(str::to_owned);
        return Reason::MissingRight { needed };
    }
    Reason::Forbidden
}

/// How long a limit is to be waited for.
pub(super) fn limited_for(headers: &HeaderMap) -> Duration {
    asked_wait(headers).unwrap_or(SECONDARY_LIMIT_WAIT)
}

/// The wait GitHub asks for: `Retry-After` first, then the reset of a used-up budget.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| used_up_for(headers))
}

/// How long the hourly budget is used up with this answer, by GitHub's clock where it tells it.
pub(super) fn used_up_for(headers: &HeaderMap) -> Option<Duration> {
    if header(headers, "x-ratelimit-remaining") != Some("0") {
        return None;
    }
    let reset = Duration::from_secs(header(headers, "x-ratelimit-reset")?.parse().ok()?);
    let now = said_at(headers).unwrap_or_else(SystemTime::now);
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    // Whole seconds are compared, so one more keeps us from asking too early.
    Some(reset.saturating_sub(now) + Duration::from_secs(1))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = header(headers, "retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// GitHub's `errors` hold objects or, for some calls, plain strings.
fn field_error(value: &Value) -> FieldError {
    match value {
        Value::String(message) => FieldError {
            message: Some(message.clone()),
            ..FieldError::default()
        },
        other => serde_json::from_value(other.clone()).unwrap_or_default(),
    }
}

fn with_errors(message: String, errors: &[FieldError]) -> String {
    let details: Vec<String> = errors.iter().filter_map(FieldError::shown).collect();
    let whole = if details.is_empty() {
        message
    } else {
        format!("{message} ({})", details.join("; "))
    };
    shortened(&whole)
}

pub(super) fn shortened(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}

impl FieldError {
    fn shown(&self) -> Option<String> {
        match (&self.message, &self.field, &self.code) {
            (Some(message), ..) => Some(message.clone()),
            (None, Some(field), Some(code)) => Some(format!("{field} is {code}")),
            (None, field, code) => field.clone().or_else(|| code.clone()),
        }
    }
}

/// What to say when the answer is not GitHub's JSON, such as a proxy's page.
fn plain_message(status: StatusCode, body: &[u8]) -> String {
    let text = first_line(&String::from_utf8_lossy(body));
    if text.is_empty() || text.starts_with('<') {
        return status
            .canonical_reason()
            .unwrap_or("no explanation")
            .to_owned();
    }
    text
}

fn first_line(text: &str) -> String {
    shortened(text.trim().lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, headers: &[(&'static str, &str)], body: &str) -> Refused {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        classify(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn the_meanings_of_403_are_told_apart() {
        let sso = (
            "x-github-sso",
            "required; url=https://github.com/orgs/o/sso?a=b",
        );
        let page = Some("https://github.com/orgs/o/sso?a=b".to_owned());
        let accepted = ("x-accepted-github-permissions", "pull_requests=write");
        let pat = r#"{"message":"Resource not accessible by personal access token"}"#;
        let needed = Some("pull_requests=write".to_owned());
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        let table = [
            (vec![sso], "{}", Reason::SsoNeeded { page }),
            (vec![accepted], pat, Reason::MissingRight { needed }),
            (vec![], pat, Reason::MissingRight { needed: None }),
            (
                vec![("x-ratelimit-remaining", "0")],
                "{}",
                Reason::PrimaryLimit,
            ),
            (
                vec![("x-ratelimit-remaining", "0")],
                secondary,
                Reason::SecondaryLimit,
            ),
            (
                vec![],
                r#"{"message":"abuse detection mechanism"}"#,
                Reason::SecondaryLimit,
            ),
            (
                vec![],
                r#"{"message":"Repository access blocked"}"#,
                Reason::Forbidden,
            ),
        ];
        for (headers, body, reason) in table {
            assert_eq!(refused(403, &headers, body).reason, reason, "{body}");
        }
    }

    #[test]
    fn retry_after_goes_before_the_reset() {
        let headers = [
            ("retry-after", "7"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1"),
        ];
        assert_eq!(
            refused(429, &headers, "").wait,
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            refused(403, &headers[1..], "").wait,
            Some(Duration::from_secs(1))
        );
        assert_eq!(refused(429, &[], "").wait, Some(SECONDARY_LIMIT_WAIT));
    }

    #[test]
    fn field_errors_are_shown_in_either_shape() {
        let objects = r#"{"message":"Validation Failed","errors":
            [{"resource":"PullRequest","field":"head","code":"invalid"},{"message":"No commits"}]}"#;
        assert_eq!(
            refused(422, &[], objects).message,
            "Validation Failed (head is invalid; No commits)"
        );
        let strings = r#"{"message":"Validation Failed","errors":["draft is not supported"]}"#;
        assert_eq!(
            refused(422, &[], strings).message,
            "Validation Failed (draft is not supported)"
        );
    }

    #[test]
    fn a_page_instead_of_json_is_not_shown() {
        let page = refused(502, &[], "<html>\n<body>Unicorn!</body></html>");
        assert_eq!(page.to_string(), "HTTP 502: Bad Gateway");
        assert_eq!(refused(418, &[], "").to_string(), "HTTP 418: I'm a teapot");
    }
}
