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
    /// What the outcome of a run begins with, where [`OutcomeFilter::UNENDED`] stands for none. No
    /// outcome is the beginning of another.
    #[must_use]
    pub fn beginning(self) -> String {
        match self {
            Self::Failed => format!("{FAILED}("),
            other => other.to_string(),
        }
    }

    /// What stands for the outcome of a run that has not ended.
    pub const UNENDED: &'static str = UNDER_WAY;
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
    use pullwright_protocol::FailureKind;

    use super::*;

    #[test]
    fn no_outcome_is_the_beginning_of_another() {
        let mut words: Vec<String> = Outcome::all().map(|outcome| outcome.to_string()).collect();
        words.push(OutcomeFilter::UNENDED.to_owned());
        for word in &words {
            let filter: OutcomeFilter = word.parse().unwrap();
            let beginning = filter.beginning();
            let alike: Vec<_> = words
                .iter()
                .filter(|word| word.starts_with(&beginning))
                .collect();
            assert_eq!(alike, [word]);
        }
        let failed = OutcomeFilter::Failed.beginning();
        let alike = words.iter().filter(|word| word.starts_with(&failed));
        assert_eq!(alike.count(), FailureKind::ALL.len());
    }

    #[test]
    fn an_unknown_outcome_is_refused() {
        for bad in ["", "fail", "failed(", "failed(nothing)", "Cancelled"] {
            assert!(bad.parse::<OutcomeFilter>().is_err(), "{bad}");
        }
    }
}
