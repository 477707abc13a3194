//! Which runs a list has, and where a page of it begins.

use std::fmt;
use std::str::FromStr;

use pullwright_protocol::{Outcome, RunId};

use super::RunRecord;

/// The word for runs that have not ended, where others are named by their outcome.
const UNDER_WAY: &str = "under way";

/// The word for all outcomes `failed(…)`.
const FAILED: &str = "failed";

/// Which runs a list has. An absent part lets all of them through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Those of this owner.
    pub owner: Option<String>,
    /// Those that ended like this.
    pub outcome: Option<OutcomeFilter>,
    /// Those on a repository that was named by one of these URLs.
    pub repo_urls: Option<Vec<String>>,
}

/// How the runs of a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeFilter {
    /// They have not.
    UnderWay,
    /// They failed, whatever the reason.
    Failed,
    /// Exactly so.
    Is(Outcome),
}

impl OutcomeFilter {
    /// The group of outcomes that it lies in, by name: all failures are one, and any other outcome is one
    /// of its own.
    #[must_use]
    pub fn group(self) -> String {
        match self {
            Self::Is(Outcome::Failed(_)) => FAILED.to_owned(),
            other => other.to_string(),
        }
    }

    /// The outcome, where it is one of several in its group.
    #[must_use]
    pub fn within_group(self) -> Option<String> {
        match self {
            Self::Is(failed @ Outcome::Failed(_)) => Some(failed.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for OutcomeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay => f.write_str(UNDER_WAY),
            Self::Failed => f.write_str(FAILED),
            Self::Is(outcome) => outcome.fmt(f),
        }
    }
}

impl FromStr for OutcomeFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            UNDER_WAY => Ok(Self::UnderWay),
            FAILED => Ok(Self::Failed),
            other => other.parse().map(Self::Is),
        }
    }
}

/// A run's place in a list: newer ones come first, and of those created in the same millisecond the
/// greater id. It stays where it is whatever is created or removed around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// When the run was created, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// Its id.
    pub id: RunId,
}

impl From<&RunRecord> for RunPlace {
    fn from(run: &RunRecord) -> Self {
        Self {
            created_at_ms: run.created_at_ms,
            id: run.id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_in_one_group_and_no_other_outcome_is() {
        for outcome in Outcome::all() {
            let filter: OutcomeFilter = outcome.to_string().parse().unwrap();
            let is_failure = matches!(outcome, Outcome::Failed(_));
            assert_eq!(filter.group() == OutcomeFilter::Failed.group(), is_failure);
            assert_eq!(filter.within_group().is_some(), is_failure);
            assert_ne!(filter.group(), OutcomeFilter::UnderWay.group());
        }
    }

    #[test]
    fn an_unknown_outcome_is_refused() {
        for bad in ["", "fail", "failed(", "failed(nothing)", "Cancelled"] {
            assert!(bad.parse::<OutcomeFilter>().is_err(), "{bad}");
        }
    }
}
