//! How a store is asked for a page of its runs.
//!
//! Each filter has an index that begins with what it names and goes on with a run's place in the list, so a
//! page costs what it holds, however many runs there are and however few of them are looked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pullwright_core::store::{OutcomeFilter, RunFilter};

/// What is read of each run.
const COLUMNS: &str = "id, request, owner, created_at_ms, finished_at_ms, outcome, \
     cancel_requested, last_seq, stalled_claims, retired, worker, epoch, leased_until_ms";

/// The group of a run's outcome, as the indexes have it.
const GROUP: &str = "CASE WHEN substr(outcome, 1, 7) = 'failed(' THEN 'failed' \
     ELSE coalesce(outcome, 'under way') END";

/// Not `=`: SQLite puts the value of a column that equals one into other conditions, and the group would be
/// no part of an index any more.
const WITHIN_GROUP: &str = "(outcome <= $W AND outcome >= $W)";

const ORDER: &str = "ORDER BY created_at_ms DESC, id DESC LIMIT $3";

/// How a database says what its indexes are made of.
pub(super) struct Dialect {
    /// The URL of a run's repository.
    pub(super) repo_url: &'static str,
    /// Whether the index is to be named, since the database has no figures to choose it by.
    pub(super) names_index: bool,
}

/// A question for runs. Its first parameters are the place that they come after, a time and an id, and how
/// many are wanted; the words follow.
pub(super) struct PageQuestion {
    pub(super) text: String,
    pub(super) words: Vec<String>,
}

impl PageQuestion {
    /// The runs of a filter; nothing where it lets none through.
    pub(super) fn of(filter: &RunFilter, dialect: &Dialect) -> Option<Self> {
        let mut words = Vec::new();
        let mut conditions = String::from("(created_at_ms, id) < ($1, $2)");
        // A condition in which `$W` stands for the word.
        let mut is = |what: &str, word: &str| {
            words.push(word.to_owned());
            let word = format!("${}", words.len() + 3);
            format!(" AND {}", what.replace("$W", &word))
        };
        if let Some(owner) = &filter.owner {
            conditions += &is("owner = $W", owner);
        }
        if let Some(outcome) = filter.outcome {
            conditions += &is(&format!("{GROUP} = $W"), &outcome.group());
        }
        if let Some(outcome) = filter.outcome.and_then(OutcomeFilter::within_group) {
            conditions += &is(WITHIN_GROUP, &outcome);
        }
        let from = match dialect.names_index {
            true => format!("runs INDEXED BY {}", index(filter)),
            false => "runs".to_owned(),
        };
        let part = |condition: &str| {
            format!("SELECT {COLUMNS} FROM {from} WHERE {conditions}{condition} {ORDER}")
        };
        let repo_url = format!("{} = $W", dialect.repo_url);
        let text = match &filter.repo_urls {
            None => part(""),
            // In the order of the list for each URL, so that none is read to its end. Of one that is named
            // twice, the runs would come twice.
            Some(urls) => {
                let urls: BTreeSet<_> = urls.iter().collect();
                let mut parts = urls.into_iter().map(|url| part(&is(&repo_url, url)));
                let first = parts.next()?;
                let mut all = format!("SELECT * FROM ({first}) AS part");
                for part in parts {
                    let _ = write!(all, " UNION ALL SELECT * FROM ({part}) AS part");
                }
                format!("{all} {ORDER}")
            }
        };
        Some(Self { text, words })
    }
}

/// The index that leads to the fewest runs, or that holds what is asked of them.
fn index(filter: &RunFilter) -> &'static str {
    let is_of_repo = filter.repo_urls.is_some();
    let is_of_outcome = filter.outcome.is_some();
    match (filter.owner.is_some(), is_of_repo, is_of_outcome) {
        (true, true, _) => "runs_by_owner_repo",
        (true, false, true) => "runs_by_owner_outcome",
        (true, false, false) => "runs_by_owner",
        (false, true, _) => "runs_by_repo",
        (false, false, true) => "runs_by_outcome",
        (false, false, false) => "runs_by_age",
    }
}
