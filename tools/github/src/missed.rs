//! Deliveries of an App's webhook that have not arrived: GitHub sends them again when it is asked to, and not by
//! itself.
//!
//! What was sent again is in GitHub's own list, so little has to be remembered, and several servers that ask do no
//! harm: whoever receives deliveries knows one that came before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::{Api, Fault};
use crate::config::GithubConfig;
use crate::error::GithubError;

const LIST: &str = "/app/hook/deliveries";
/// GitHub's largest page.
const PAGE: &str = "100";
/// How much of the list is read in one look: 1,000 deliveries.
const MAX_PAGES: usize = 10;
/// How many deliveries are asked for in one look, so that a server which was away is not flooded.
const MAX_ASKED: usize = 50;

/// Looks for what an App's webhook has not delivered, and has it delivered again.
pub struct MissedDeliveries {
    api: Api,
    id: String,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// For how many deliveries GitHub was asked again.
    pub count: usize,
    /// Whether nothing was left for the next look.
    pub is_all: bool,
    /// Whether GitHub's list was read as far back as was looked. What is further down than is read in one look is
    /// not asked for, and no other look would come to it.
    pub reaches_back: bool,
}

/// Why GitHub was not asked for all that was missed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAsked(String);

/// What was read of GitHub's list.
struct List {
    /// The newest first.
    attempts: Vec<Attempt>,
    reaches_back: bool,
}

/// One attempt to deliver something.
#[derive(Clone, Debug, Deserialize)]
struct Attempt {
    id: u64,
    /// The same for all attempts.
    guid: String,
    delivered_at: DateTime<Utc>,
    #[serde(default)]
    redelivery: bool,
    /// What was answered, or what stands for no answer.
    #[serde(default)]
    status_code: u16,
}

impl MissedDeliveries {
    /// Those of the App that the configuration names; `None` where it names none.
    ///
    /// # Errors
    /// When the configuration cannot work: see [`GithubError`].
    pub fn of(config: &GithubConfig) -> Result<Option<Self>, GithubError> {
        let Some(app) = &config.app else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: app.id.clone(),
            api: Api::new(config)?,
        }))
    }

    /// Asks for what was to be delivered after `since` and has not arrived, each once. `asked` is what was
    /// asked for before, of which GitHub may not tell yet.
    ///
    /// # Errors
    /// When GitHub does not say what was delivered, or takes no requests for now. What is left is asked for in the
    /// next look.
    pub async fn ask_again(
        &self,
        since: SystemTime,
        asked: &mut BTreeSet<u64>,
    ) -> Result<Asked, NotAsked> {
        let list = self.list(since.into()).await;
        let List {
            attempts,
            reaches_back,
        } = list.map_err(|fault| self.explain("listing the deliveries", &fault))?;
        asked.retain(|id| attempts.iter().any(|attempt| attempt.id == *id));
        let missed = missed(attempts, since.into());
        let mut count = 0;
        let missed = missed.into_iter().filter(|id| !asked.contains(id));
        let missed: Vec<u64> = missed.collect();
        let is_all = missed.len() <= MAX_ASKED;
        for id in missed.into_iter().take(MAX_ASKED) {
            match self.ask_for(id).await {
                Ok(()) => count += 1,
                // It is too old, or was lost at GitHub itself.
                Err(fault) if !fault.passes() => {
                    tracing::warn!(%fault, delivery = id, app = self.id, "a delivery cannot be had again");
                }
                Err(fault) => return Err(self.explain("asking for a delivery again", &fault)),
            }
            asked.insert(id);
        }
        Ok(Asked {
            count,
            is_all,
            reaches_back,
        })
    }

    /// Once: what may have been carried out counts as done.
    async fn ask_for(&self, id: u64) -> Result<(), Fault> {
        let route = format!("{LIST}/{id}/attempts");
        match self
            .api
            .as_the_app::<IgnoredAny>(Method::POST, &route, &[])
            .await
        {
            Err(fault) if !fault.may_have_applied() => Err(fault),
            _ => Ok(()),
        }
    }

    /// The attempts since then, or as many of them as are read in one look.
    async fn list(&self, since: DateTime<Utc>) -> Result<List, Fault> {
        let mut list = List {
            attempts: Vec::new(),
            reaches_back: false,
        };
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let cursor_of_page = cursor.iter().map(|cursor| ("cursor", cursor.as_str()));
            let query: Vec<_> = [("per_page", PAGE)]
                .into_iter()
                .chain(cursor_of_page)
                .collect();
            let (headers, page): (HeaderMap, Vec<Attempt>) =
                self.api.as_the_app(Method::GET, LIST, &query).await?;
            let is_past = page.last().is_none_or(|oldest| oldest.delivered_at < since);
            list.attempts.extend(page);
            cursor = next_cursor(&headers);
            list.reaches_back = is_past || cursor.is_none();
            if list.reaches_back {
                break;
            }
        }
        Ok(list)
    }

    fn explain(&self, doing: &str, fault: &Fault) -> NotAsked {
        let who = format!("the GitHub App {}", self.id);
        NotAsked(format!("{doing} of {who} failed: {}", fault.explain(&who)))
    }
}

/// The last attempt of each delivery that did not arrive and was not asked for yet, the oldest first.
fn missed(attempts: Vec<Attempt>, since: DateTime<Utc>) -> Vec<u64> {
    let mut by_guid: BTreeMap<String, Vec<Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_guid
            .entry(attempt.guid.clone())
            .or_default()
            .push(attempt);
    }
    let is_missed = |attempts: &&Vec<Attempt>| {
        attempts
            .iter()
            .all(|attempt| attempt.has_not_arrived() && !attempt.redelivery)
    };
    let last =
        |attempts: &Vec<Attempt>| attempts.iter().max_by_key(|one| one.delivered_at).cloned();
    let missed = by_guid.values().filter(is_missed).filter_map(last);
    let mut missed: Vec<Attempt> = missed.filter(|one| one.delivered_at >= since).collect();
    missed.sort_by_key(|attempt| attempt.delivered_at);
    missed.into_iter().map(|attempt| attempt.id).collect()
}

impl Attempt {
    /// What was refused for what it is would be refused again.
    fn has_not_arrived(&self) -> bool {
        matches!(self.status_code, 0 | 408 | 429 | 500..=599)
    }
}

/// Where the next page begins, if there is one.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get("link")?.to_str().ok()?;
    let next = links
        .split(',')
        .find(|link| link.contains("rel=\"next\""))?;
    let address = next.trim().strip_prefix('<')?.split_once('>')?.0;
    let (_, query) = address.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(key, value)| (key == "cursor").then(|| value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: u64, guid: &str, minute: u32, redelivery: bool, status_code: u16) -> Attempt {
        let delivered_at = format!("2026-11-30T12:{minute:02}:00Z").parse().unwrap();
        Attempt {
            id,
            guid: guid.to_owned(),
            delivered_at,
            redelivery,
            status_code,
        }
    }

    #[test]
    fn what_has_not_arrived_is_asked_for_once_and_the_oldest_first() {
        let attempts = vec![
            attempt(9, "late", 50, false, 502),
            attempt(8, "refused", 40, false, 401),
            attempt(7, "had again", 39, true, 202),
            attempt(6, "failed again", 38, true, 500),
            attempt(5, "failed again", 30, false, 503),
            attempt(4, "had again", 30, false, 504),
            attempt(3, "unanswered", 20, false, 0),
            attempt(2, "arrived", 20, false, 202),
            attempt(1, "before", 1, false, 502),
        ];
        let since = "2026-11-30T12:10:00Z".parse().unwrap();
        assert_eq!(missed(attempts, since), [3, 9]);
    }

    #[test]
    fn the_next_page_is_where_github_says() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_cursor(&headers), None);
        let links = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_1%3D2>; rel=\"next\", \
                     <https://api.github.com/app/hook/deliveries>; rel=\"first\"";
        headers.insert("link", links.parse().unwrap());
        assert_eq!(next_cursor(&headers).as_deref(), Some("v1_1=2"));
        headers.insert("link", "<nonsense>; rel=\"next\"".parse().unwrap());
        assert_eq!(next_cursor(&headers), None);
    }
}
