//! A comment of our own: written once, then brought up to date.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgeComment, PostedComment};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::{Deserialize, Serialize};

use crate::api::{Fault, MAX_ATTEMPTS, Reason};
use crate::description::{quoted_summary, shorten_markdown};
use crate::github::{Github, until_cancelled};
use crate::repository::Repo;

/// GitHub refuses a longer comment.
const MAX_COMMENT_CHARS: usize = 65_536;
/// A longer one tells nothing apart any better.
const MAX_MARKER_CHARS: usize = 200;
/// How many comments are on a page, and on how many pages ours is looked for: a longer conversation costs
/// no more than this.
const PAGE_SIZE: usize = 100;
const MAX_PAGES: usize = 50;

#[derive(Deserialize)]
struct Found {
    id: u64,
    body: Option<String>,
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
}

impl Github {
    /// Writes the comment, or brings the one with its marker up to date.
    pub(crate) async fn comment(
        self: Arc<Self>,
        wanted: ForgeComment,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&wanted.repository)?;
        check_marker(&wanted.marker)?;
        until_cancelled(&call, async {
            let id = self.write(&repo, &wanted).await;
            self.answer(id.map(|id| PostedComment { id }), || {
                format!("writing a comment on #{} of {repo}", wanted.number)
            })
        })
        .await
    }

    async fn write(&self, repo: &Repo, wanted: &ForgeComment) -> Result<Option<u64>, Fault> {
        let body = text(wanted);
        if let Some(id) = wanted.id {
            return self.change(repo, id, &body).await;
        }
        match self.find(repo, wanted).await? {
            Some(id) => self.change(repo, id, &body).await,
            None => self.post(repo, wanted, &body).await.map(Some),
        }
    }

    /// Nothing where it is gone: whoever removed it does not want it.
    async fn change(&self, repo: &Repo, id: u64, body: &str) -> Result<Option<u64>, Fault> {
        let route = repo.path(format_args!("/issues/comments/{id}"));
        let changed = self.api.patch::<Found>(repo, &route, &Text { body }).await;
        match changed {
            Ok(found) => Ok(Some(found.id)),
            Err(fault) if matches!(fault.reason(), Some(Reason::NotFound | Reason::Gone)) => {
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// After every failure that may have written it all the same, it is looked for before it is tried again.
    async fn post(&self, repo: &Repo, wanted: &ForgeComment, body: &str) -> Result<u64, Fault> {
        let route = repo.path(format_args!("/issues/{}/comments", wanted.number));
        for attempt in 1..=MAX_ATTEMPTS {
            let posted = self
                .api
                .post_once::<Found>(repo, &route, &Text { body })
                .await;
            let fault = match posted {
                Ok(found) => return Ok(found.id),
                Err(fault) => fault,
            };
            let paused = self.api.pause(&fault, attempt).await;
            if fault.may_have_applied()
                && let Some(id) = self.find(repo, wanted).await?
            {
                return Ok(id);
            }
            if paused.is_none() {
                return Err(fault);
            }
        }
        Err(Fault::Nonsense("it takes no comment".to_owned()))
    }

    /// The first comment with the marker: a later one is somebody's copy.
    async fn find(&self, repo: &Repo, wanted: &ForgeComment) -> Result<Option<u64>, Fault> {
        let route = repo.path(format_args!("/issues/{}/comments", wanted.number));
        let marker = marker(&wanted.marker);
        let size = PAGE_SIZE.to_string();
        for page in 1..=MAX_PAGES {
            let query = [("per_page", &*size), ("page", &page.to_string())];
            let comments: Vec<Found> = self.api.get_with(repo, &route, &query).await?;
            let is_last = comments.len() < PAGE_SIZE;
            let has_marker = |found: &Found| {
                let body = found.body.as_deref();
                body.is_some_and(|body| body.starts_with(&marker))
            };
            if let Some(ours) = comments.into_iter().find(has_marker) {
                return Ok(Some(ours.id));
            }
            if is_last {
                break;
            }
        }
        Ok(None)
    }
}

fn marker(text: &str) -> String {
    format!("<!-- {text} -->")
}

fn text(wanted: &ForgeComment) -> String {
    let head = format!("{}\n", marker(&wanted.marker));
    let tail = match quoted_summary(&wanted.summary) {
        quoted if quoted.is_empty() => quoted,
        quoted => format!("\n\n{}", quoted.trim_end()),
    };
    let room = MAX_COMMENT_CHARS.saturating_sub(head.chars().count() + tail.chars().count());
    format!("{head}{}{tail}", shorten_markdown(wanted.body.trim(), room))
}

fn check_marker(marker: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":- ".contains(&byte);
    let is_sound = (1..=MAX_MARKER_CHARS).contains(&marker.len())
        && marker.bytes().all(plain)
        && !marker.contains("--");
    if is_sound {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{}` cannot mark a comment: it must be 1 to {MAX_MARKER_CHARS} letters, digits, colons, single \
         dashes and spaces",
        marker.escape_debug()
    )))
}
