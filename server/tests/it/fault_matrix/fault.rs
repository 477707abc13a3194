//! The ways in which a request fails, with bodies as GitHub sends them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::stage::Stage;

/// Where a limit names its end, that is so many seconds away: longer than a call waits by itself.
const LIMIT_SEC: u64 = 2;

/// A way to fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) answer: Answer,
    /// Whether the same request may succeed a little later.
    passes: bool,
    /// Whether only the API fails so.
    is_of_the_api: bool,
    /// Whether only GraphQL does.
    is_of_graphql: bool,
}

/// What is answered instead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// A status, headers and a body.
    Status(u16, &'static [(&'static str, &'static str)], Body),
    /// Nothing: the connection is closed.
    Cut,
    /// Nothing, for longer than anybody waits.
    Silence,
    /// A page for people, with status 200.
    Page,
    /// The beginning of an answer.
    Truncated,
}

/// The body of a refusal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Message(&'static str),
    /// A validation that failed: resource, field, code, message.
    Invalid(&'static str, &'static str, &'static str, &'static str),
    /// What GraphQL says of a mutation that is not done: type, message.
    NotDone(&'static str, &'static str),
}

/// When a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before it has come to GitHub.
    Before,
    /// After its effect.
    After,
}

/// How often it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    /// For longer than one call tries it.
    Long,
    Always,
}

impl Times {
    /// The most requests that fail.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Once => 1,
            Self::Long => 4,
            Self::Always => usize::MAX,
        }
    }
}

const RESET: &str = "RESET";

const fn permanent(name: &'static str, answer: Answer) -> Fault {
    Fault {
        passes: false,
        ..limit(name, answer)
    }
}

const fn of_both(name: &'static str, answer: Answer) -> Fault {
    Fault {
        is_of_the_api: false,
        ..limit(name, answer)
    }
}

const fn limit(name: &'static str, answer: Answer) -> Fault {
    Fault {
        name,
        answer,
        passes: true,
        is_of_the_api: true,
        is_of_graphql: false,
    }
}

const fn status(status: u16, message: &'static str) -> Answer {
    Answer::Status(status, &[], Body::Message(message))
}

const fn invalid(field: &'static str, code: &'static str, message: &'static str) -> Answer {
    Answer::Status(422, &[], Body::Invalid("PullRequest", field, code, message))
}

const SECONDARY: &str =
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
const PRIMARY: &str = "API rate limit exceeded for user ID 1.";

const FAULTS: &[Fault] = &[
    Fault {
        passes: true,
        ..of_both("401", status(401, "Bad credentials"))
    },
    Fault {
        passes: false,
        ..of_both(
            "403 right",
            status(403, "Resource not accessible by personal access token"),
        )
    },
    permanent(
        "403 single sign-on",
        Answer::Status(
            403,
            &[(
                "x-github-sso",
                "required; url=https://github.com/orgs/dev/sso?authorization_request=A",
            )],
            Body::Message("Resource protected by organization SAML enforcement."),
        ),
    ),
    limit(
        "403 secondary, Retry-After",
        Answer::Status(403, &[("retry-after", "2")], Body::Message(SECONDARY)),
    ),
    limit("403 secondary", status(403, SECONDARY)),
    limit(
        "403 primary",
        Answer::Status(
            403,
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", RESET),
            ],
            Body::Message(PRIMARY),
        ),
    ),
    limit(
        "429 primary",
        Answer::Status(
            429,
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", RESET),
            ],
            Body::Message(PRIMARY),
        ),
    ),
    of_both(
        "429, Retry-After",
        Answer::Status(
            429,
            &[("retry-after", "1")],
            Body::Message("Too many requests"),
        ),
    ),
    of_both("429", status(429, "Too many requests")),
    Fault {
        passes: false,
        ..of_both("404", status(404, "Not Found"))
    },
    permanent("409", status(409, "Git Repository is empty.")),
    permanent(
        "422 exists",
        Answer::Status(
            422,
            &[],
            Body::Invalid(
                "PullRequest",
                "",
                "custom",
                "A pull request already exists for dev:branch.",
            ),
        ),
    ),
    permanent(
        "422 no commits",
        invalid("", "custom", "No commits between main and branch"),
    ),
    permanent("422 head", invalid("head", "invalid", "")),
    permanent("422 base", invalid("base", "invalid", "")),
    permanent(
        "422 draft",
        invalid(
            "",
            "custom",
            "Draft pull requests are not supported in this repository.",
        ),
    ),
    permanent("422 other", invalid("title", "missing_field", "")),
    Fault {
        is_of_graphql: true,
        ..limit(
            "200 limit",
            Answer::Status(
                200,
                &[
                    ("x-ratelimit-limit", "5000"),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", RESET),
                ],
                Body::NotDone("RATE_LIMITED", PRIMARY),
            ),
        )
    },
    Fault {
        is_of_graphql: true,
        ..permanent(
            "200 right",
            Answer::Status(
                200,
                &[],
                Body::NotDone(
                    "FORBIDDEN",
                    "Resource not accessible by personal access token",
                ),
            ),
        )
    },
    of_both("500", status(500, "Server Error")),
    of_both("502", status(502, "Server Error")),
    of_both(
        "503, Retry-After",
        Answer::Status(
            503,
            &[("retry-after", "1")],
            Body::Message("Service unavailable"),
        ),
    ),
    of_both(
        "504",
        status(504, "We couldn't respond to your request in time."),
    ),
    of_both("cut", Answer::Cut),
    of_both("silence", Answer::Silence),
    of_both("page", Answer::Page),
    of_both("truncated", Answer::Truncated),
];

/// One fault of each class.
const CLASSES: &[&str] = &[
    "401",
    "403 right",
    "403 secondary, Retry-After",
    "200 limit",
    "200 right",
    "404",
    "422 other",
    "429, Retry-After",
    "502",
    "cut",
    "silence",
    "truncated",
];

/// Those that are played for as long as anybody asks, of those that pass.
const LASTING_CLASSES: &[&str] = &["403 secondary, Retry-After", "502", "cut"];

impl Fault {
    /// A limit that is over soon, though not so soon that a call waits for it.
    pub(super) const SOON: Self = limit(
        "soon",
        Answer::Status(403, &[("retry-after", "4")], Body::Message(SECONDARY)),
    );
    /// A limit that lasts nearly as long as anything waits for labels and people.
    pub(super) const MINUTES: Self = limit(
        "minutes",
        Answer::Status(403, &[("retry-after", "280")], Body::Message(SECONDARY)),
    );
    /// A limit that lasts longer than any test.
    pub(super) const HOUR: Self = limit(
        "hour",
        Answer::Status(403, &[("retry-after", "3600")], Body::Message(SECONDARY)),
    );

    /// The ways in which a request of a stage may fail.
    pub(super) fn of(stage: Stage) -> impl Iterator<Item = &'static Self> {
        let faults = FAULTS.iter();
        let faults = faults.filter(move |fault| !stage.is_of_git() || !fault.is_of_the_api);
        let is_graphql = stage.verified().is_some();
        let faults = faults.filter(move |fault| is_graphql || !fault.is_of_graphql);
        let is_whole = !stage.is_played_by_classes();
        faults.filter(move |fault| is_whole || CLASSES.contains(&fault.name))
    }

    fn is_an_outage(&self) -> bool {
        !self.is_of_the_api
    }

    /// Before the effect in any case; after it, what loses the answer.
    pub(super) fn moments(&self, stage: Stage) -> &'static [Moment] {
        let loses_the_answer = match self.answer {
            Answer::Status(status, ..) => status >= 500,
            Answer::Cut | Answer::Silence | Answer::Page | Answer::Truncated => true,
        };
        match stage.has_effect() && loses_the_answer {
            true => &[Moment::Before, Moment::After],
            false => &[Moment::Before],
        }
    }

    /// What passes may be over at the next request. Git is given half a minute to say something, which is waited
    /// for once.
    pub(super) fn times(&self, stage: Stage) -> &'static [Times] {
        match self.answer {
            Answer::Silence if stage.is_of_git() => &[Times::Once],
            // One stands for all, since git's waits are long.
            _ if self.name == "502" && stage.may_wait_for_git() => {
                &[Times::Once, Times::Long, Times::Always]
            }
            _ if stage == Stage::Rules => self.times_of_a_look_up(),
            _ if stage.is_played_by_classes() => self.times_of_its_class(),
            // Four limits in a row last longer than these runs may wait.
            _ if self.passes && self.is_an_outage() && stage.may_wait_for_the_api() => {
                &[Times::Once, Times::Long, Times::Always]
            }
            _ if self.passes => &[Times::Once, Times::Always],
            _ => &[Times::Always],
        }
    }

    /// What can be done without is done without, however long it fails. A limit holds up what comes after it, too, and
    /// is over when it was met once.
    fn times_of_a_look_up(&self) -> &'static [Times] {
        match self.answer {
            Answer::Status(_, [("retry-after", _), ..], _) => &[Times::Once],
            _ => &[Times::Always],
        }
    }

    fn times_of_its_class(&self) -> &'static [Times] {
        match self.passes && self.name != "401" {
            true if LASTING_CLASSES.contains(&self.name) => &[Times::Once, Times::Always],
            true => &[Times::Once],
            false => &[Times::Always],
        }
    }
}

impl Answer {
    /// The status and the body of a refusal in GitHub's words.
    pub(super) fn refusal(self) -> Option<(u16, Value)> {
        match self {
            Self::Status(status, _, body) => Some((status, body.json())),
            _ => None,
        }
    }

    /// The bytes on the wire; nothing where nothing is said.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Status(status, headers, body) => {
                // Limits are told by this clock, so that a slow machine waits no shorter.
                let now = SystemTime::now();
                let date = httpdate::fmt_http_date(now);
                let headers: String = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}\r\n", value_of(value, now)))
                    .collect();
                let kind = "content-type: application/json; charset=utf-8";
                let headers = format!("{headers}date: {date}\r\n{kind}\r\n");
                answer(status, &headers, &body.json().to_string())
            }
            Self::Page => answer(
                200,
                "content-type: text/html\r\n",
                "<!DOCTYPE html>\n<html><body>Unicorn!</body></html>\n",
            ),
            Self::Truncated => {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{\"number\":"
                    .to_vec()
            }
            Self::Cut | Self::Silence => Vec::new(),
        }
    }
}

impl Body {
    pub(super) fn json(self) -> Value {
        const DOCS: &str = "https://docs.github.com/rest";
        match self {
            Self::Message(message) => json!({"message": message, "documentation_url": DOCS}),
            Self::Invalid(resource, field, code, message) => {
                let mut error = json!({"resource": resource, "code": code});
                if !field.is_empty() {
                    error["field"] = json!(field);
                }
                if !message.is_empty() {
                    error["message"] = json!(message);
                }
                json!({"message": "Validation Failed", "errors": [error], "documentation_url": DOCS})
            }
            Self::NotDone(kind, message) => json!({
                "data": {"createCommitOnBranch": null},
                "errors": [{"type": kind, "path": ["createCommitOnBranch"], "message": message}],
            }),
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Fault\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn value_of(value: &str, now: SystemTime) -> String {
    if value != RESET {
        return value.to_owned();
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap();
    (now.as_secs() + LIMIT_SEC).to_string()
}
