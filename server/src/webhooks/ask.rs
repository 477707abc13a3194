//! What a delivery asks for.

use serde::{Deserialize, Serialize};

use super::mention::{mentions, without_comments};
use super::payload::{Check, Payload, User};
use super::report::{CHECK_PREFIX, MARKER_PREFIX};
use super::settings::WebhookSettings;

/// How much is kept of a title and of a text, in characters.
const MAX_TITLE_CHARS: usize = 300;
const MAX_TEXT_CHARS: usize = 20_000;
const MAX_HUNK_CHARS: usize = 2_000;

/// What a delivery asks for, as it is kept until it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ask {
    /// The git URL of the repository.
    pub(super) repo_url: String,
    /// Its name, as `owner/name`.
    pub(super) repository: String,
    pub(super) cause: Cause,
}

/// Why it asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Cause {
    /// Somebody has put the label on an issue.
    Labeled { by: String, issue: Thread },
    /// Somebody calls.
    Mentioned {
        by: String,
        thread: Thread,
        /// What they say; absent where the thread itself says it.
        words: Option<Words>,
    },
    /// Somebody wants a pull request to be changed.
    Reviewed {
        by: String,
        thread: Thread,
        words: Words,
        /// Whether the review calls, too.
        #[serde(default)]
        calls: bool,
    },
    /// A check of a commit has failed.
    CheckFailed { commit: String },
}

/// An issue or a pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Thread {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) text: String,
    /// The page, of a pull request.
    pub(super) pull_request: Option<String>,
}

/// What somebody has written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Words {
    pub(super) text: String,
    /// The file and the line that it is about.
    pub(super) place: Option<String>,
    /// The lines of the difference that it is about.
    pub(super) hunk: Option<String>,
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It asks for something.
    Asks(Box<Ask>),
    /// It asks for nothing, for this reason.
    Nothing(&'static str),
}

/// Reads a genuine delivery. One that is not understood asks for nothing.
///
/// # Errors
/// When the body is not JSON.
pub(super) fn read(
    event: &str,
    body: &[u8],
    settings: &WebhookSettings,
) -> Result<Reading, serde_json::Error> {
    const READ: [&str; 7] = [
        "issues",
        "issue_comment",
        "pull_request_review",
        "pull_request_review_comment",
        "check_suite",
        "check_run",
        "workflow_run",
    ];
    if !READ.contains(&event) {
        serde_json::from_slice::<serde::de::IgnoredAny>(body)?;
        return Ok(Reading::Nothing("this event starts nothing"));
    }
    let value: serde_json::Value = serde_json::from_slice(body)?;
    Ok(match serde_json::from_value::<Payload>(value) {
        Ok(payload) => judge(event, payload, settings),
        Err(error) => {
            tracing::warn!(event, %error, "a delivery is not understood");
            Reading::Nothing("its payload is not understood")
        }
    })
}

fn judge(event: &str, mut payload: Payload, settings: &WebhookSettings) -> Reading {
    let Some(repository) = payload.repository.take() else {
        return Reading::Nothing("it names no repository");
    };
    let Some(repo_url) = repository.clone_url else {
        return Reading::Nothing("it does not say where the repository is");
    };
    let cause = match event {
        "check_suite" | "check_run" | "workflow_run" => failed_check(payload),
        _ => match payload.sender.as_ref().and_then(person) {
            None => return Reading::Nothing("it was not a person"),
            Some(by) => match event {
                "issues" => of_issue(by, payload, settings),
                "issue_comment" => of_comment(by, payload, settings),
                "pull_request_review" => of_review(by, payload, settings),
                _ => of_line(by, payload, settings),
            },
        },
    };
    match cause {
        Ok(cause) => Reading::Asks(Box::new(Ask {
            repo_url,
            repository: repository.full_name,
            cause,
        })),
        Err(why) => Reading::Nothing(why),
    }
}

type Judged = Result<Cause, &'static str>;

/// The login of somebody who is no program.
fn person(user: &User) -> Option<String> {
    let is_bot = user.kind.as_deref() == Some("Bot") || user.login.ends_with("[bot]");
    (!is_bot).then(|| user.login.clone())
}

fn of_issue(by: String, payload: Payload, settings: &WebhookSettings) -> Judged {
    let issue = payload.issue.ok_or("it names no issue")?;
    let is_ours = |name: &str| name.to_lowercase() == settings.label.to_lowercase();
    match payload.action.as_deref() {
        Some("labeled") => {
            let label = payload.label.ok_or("it names no label")?;
            if !is_ours(&label.name) {
                return Err("this label starts nothing");
            }
            if issue.pull_request.is_some() {
                return Err("the label starts runs for issues, and this is a pull request");
            }
            if issue.state.as_deref().is_some_and(|state| state != "open") {
                return Err("the issue is closed");
            }
            let issue = thread(issue.number, &issue.title, issue.body.as_deref(), None);
            Ok(Cause::Labeled { by, issue })
        }
        Some("opened") => {
            if issue.labels.iter().any(|label| is_ours(&label.name)) {
                return Err("its label is told by another delivery");
            }
            is_called(issue.body.as_deref(), settings)?;
            let thread = thread(issue.number, &issue.title, issue.body.as_deref(), None);
            Ok(Cause::Mentioned {
                by,
                thread,
                words: None,
            })
        }
        _ => Err("this action starts nothing"),
    }
}

fn of_comment(by: String, payload: Payload, settings: &WebhookSettings) -> Judged {
    is_action(&payload, "created")?;
    let issue = payload.issue.ok_or("it names no issue")?;
    let comment = payload.comment.ok_or("it has no comment")?;
    is_called(comment.body.as_deref(), settings)?;
    let page = match issue.pull_request {
        Some(pull) => Some(pull.html_url.ok_or("its pull request has no page")?),
        None => None,
    };
    Ok(Cause::Mentioned {
        by,
        thread: thread(issue.number, &issue.title, issue.body.as_deref(), page),
        words: Some(words(comment.body.as_deref())),
    })
}

fn of_review(by: String, payload: Payload, settings: &WebhookSettings) -> Judged {
    is_action(&payload, "submitted")?;
    let review = payload.review.ok_or("it has no review")?;
    let pull = payload.pull_request.ok_or("it names no pull request")?;
    let page = pull.html_url.ok_or("its pull request has no page")?;
    let thread = thread(pull.number, &pull.title, pull.body.as_deref(), Some(page));
    let text = words(review.body.as_deref());
    let calls = is_called(review.body.as_deref(), settings).is_ok();
    match review.state.as_deref() {
        Some("changes_requested") => Ok(Cause::Reviewed {
            by,
            thread,
            words: text,
            calls,
        }),
        _ if calls => Ok(Cause::Mentioned {
            by,
            thread,
            words: Some(text),
        }),
        _ => Err("the review asks for no changes"),
    }
}

fn of_line(by: String, payload: Payload, settings: &WebhookSettings) -> Judged {
    is_action(&payload, "created")?;
    let comment = payload.comment.ok_or("it has no comment")?;
    let pull = payload.pull_request.ok_or("it names no pull request")?;
    let page = pull.html_url.ok_or("its pull request has no page")?;
    is_called(comment.body.as_deref(), settings)?;
    let place = comment.path.map(|path| match comment.line {
        Some(line) => format!("{path}:{line}"),
        None => path,
    });
    Ok(Cause::Mentioned {
        by,
        thread: thread(pull.number, &pull.title, pull.body.as_deref(), Some(page)),
        words: Some(Words {
            place: place.map(|place| cut(&place, MAX_TITLE_CHARS)),
            hunk: comment.diff_hunk.map(|hunk| cut(&hunk, MAX_HUNK_CHARS)),
            ..words(comment.body.as_deref())
        }),
    })
}

fn failed_check(payload: Payload) -> Judged {
    is_action(&payload, "completed")?;
    let checks = [payload.check_suite, payload.check_run, payload.workflow_run];
    let check: Check = checks
        .into_iter()
        .flatten()
        .next()
        .ok_or("it names no check")?;
    let is_ours = |id: &String| id.starts_with(CHECK_PREFIX);
    if check.external_id.as_ref().is_some_and(is_ours) {
        return Err("it is our own check");
    }
    match check.conclusion.as_deref() {
        Some("failure" | "timed_out" | "startup_failure") => {}
        _ => return Err("the check has not failed"),
    }
    let commit = check.head_sha.ok_or("it names no commit")?;
    Ok(Cause::CheckFailed { commit })
}

fn is_action(payload: &Payload, wanted: &str) -> Result<(), &'static str> {
    match payload.action.as_deref() == Some(wanted) {
        true => Ok(()),
        false => Err("this action starts nothing"),
    }
}

fn is_called(text: Option<&str>, settings: &WebhookSettings) -> Result<(), &'static str> {
    let text = text.unwrap_or_default();
    if text.trim_start().starts_with(MARKER_PREFIX) {
        return Err("it is our own comment");
    }
    match mentions(text, &settings.mention) {
        true => Ok(()),
        false => Err("nobody is called by it"),
    }
}

fn thread(number: u64, title: &str, text: Option<&str>, pull_request: Option<String>) -> Thread {
    Thread {
        number,
        title: cut(title, MAX_TITLE_CHARS),
        text: shown(text),
        pull_request,
    }
}

fn words(text: Option<&str>) -> Words {
    Words {
        text: shown(text),
        ..Words::default()
    }
}

/// What a reader of the page sees of it, and no more than a model needs.
fn shown(text: Option<&str>) -> String {
    let text = without_comments(text.unwrap_or_default());
    cut(text.trim(), MAX_TEXT_CHARS)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
