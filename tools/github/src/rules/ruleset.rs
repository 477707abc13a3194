//! The rulesets that rules are of: what they are called, and whether they bind us.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Deserialize;

use super::push::Concern;
use crate::github::Github;
use crate::repository::Repo;

/// More of them are not looked at: a repository that has so many is strange enough to be told of each.
const MAX_RULESETS: usize = 10;

/// Rulesets by their number, as far as they are known.
pub(super) type Rulesets = BTreeMap<u64, Ruleset>;

/// A ruleset, as whoever asks sees it.
#[derive(Debug, Deserialize)]
pub(super) struct Ruleset {
    pub(super) name: Option<String>,
    /// `always`, `exempt`, `pull_requests_only` or `never`.
    current_user_can_bypass: Option<String>,
}

/// Whether a ruleset binds us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Yes,
    No,
    /// An older server does not say.
    Unknown,
}

impl Ruleset {
    /// For what is pushed: who may bypass it in pull requests only is bound by it there.
    pub(super) fn binds(&self) -> Bound {
        match self.current_user_can_bypass.as_deref() {
            Some("always" | "exempt") => Bound::No,
            Some("never" | "pull_requests_only") => Bound::Yes,
            _ => Bound::Unknown,
        }
    }
}

impl Github {
    /// The rulesets of what a push has to reckon with.
    pub(super) async fn rulesets(&self, repo: &Repo, concerns: &[Concern]) -> Rulesets {
        let mut ids: Vec<u64> = concerns.iter().filter_map(Concern::ruleset).collect();
        ids.sort_unstable();
        ids.dedup();
        let asked = ids.into_iter().take(MAX_RULESETS).map(|id| async move {
            let route = repo.path(format_args!("/rulesets/{id}"));
            match self.api.look_up(repo, &route, &[]).await {
                Ok(found) => Some((id, found)),
                Err(fault) => {
                    tracing::info!(%fault, %repo, id, "a ruleset is not known");
                    None
                }
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}
