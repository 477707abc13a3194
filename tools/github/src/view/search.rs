//! A search in the issues and pull requests.

use std::sync::Arc;

use pullwright_tool_kit::{Call, Output, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::quote::{author, line};
use super::{DATA_NOTE, PAGE_SIZE, answer, page_of};
use crate::github::{Github, until_cancelled};
use crate::model::{Found, Issue};
use crate::repository::Repo;

/// GitHub refuses a longer search.
const MAX_QUERY_CHARS: usize = 256;
/// Qualifiers that name where to search, which is not the model's to choose.
const SCOPES: [&str; 5] = ["repo", "org", "user", "owner", "enterprise"];

/// Searches the issues and pull requests of this repository. Takes words and GitHub's qualifiers,
/// such as `is:open`, `is:pr`, `label:bug`, `in:title` or `author:name`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchArgs {
    /// What to search for. The repository is given: `repo:`, `org:` and `user:` are refused.
    query: String,
    /// The page, from 1; a page has 30 results.
    page: Option<u32>,
}

impl Github {
    pub(crate) async fn search(
        self: Arc<Self>,
        args: SearchArgs,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.run_repo(&call)?;
        check_query(&args.query)?;
        let scoped = format!("{} repo:{repo}", args.query.trim());
        let page = page_of(args.page);
        until_cancelled(&call, async {
            let query = [
                ("q", scoped.as_str()),
                ("per_page", PAGE_SIZE),
                ("page", &page),
            ];
            let found = self.api.get_with(&repo, "/search/issues", &query).await;
            let found: Found =
                found.map_err(|fault| self.refusal(&format!("searching {repo}"), &fault))?;
            Ok(answer(&listed(&repo, &found, &page), "Narrow the search."))
        })
        .await
    }
}

fn check_query(query: &str) -> Result<(), Refusal> {
    if query.trim().is_empty() || query.chars().count() > MAX_QUERY_CHARS {
        return Err(Refusal::new(format!(
            "a search has 1 to {MAX_QUERY_CHARS} characters, this one has {}",
            query.chars().count()
        )));
    }
    match SCOPES.iter().find(|scope| has_qualifier(query, scope)) {
        Some(scope) => Err(Refusal::new(format!(
            "leave out `{scope}:`: the search is always in the repository of this run"
        ))),
        None => Ok(()),
    }
}

/// Whether `name:` stands anywhere as a word of its own, in any case and also after `-` or `(`.
fn has_qualifier(query: &str, name: &str) -> bool {
    let words = query.split(|char: char| !char.is_alphanumeric() && char != ':');
    words.into_iter().any(|word| {
        let mut parts = word.split(':');
        parts.next_back();
        parts.any(|part| part.eq_ignore_ascii_case(name))
    })
}

/// The results of this repository. An `OR` in the query may reach beyond its `repo:`, so each
/// result is looked at again.
fn listed(repo: &Repo, found: &Found, page: &str) -> String {
    let ours: Vec<&Issue> = found
        .items
        .iter()
        .filter(|issue| is_of(repo, issue))
        .collect();
    if ours.is_empty() {
        return format!("nothing found in {repo} on page {page}");
    }
    let lines: String = ours.iter().map(|issue| result(issue)).collect();
    format!("found in {repo}, page {page} of {PAGE_SIZE} a page\n{DATA_NOTE}\n\n{lines}")
}

fn is_of(repo: &Repo, issue: &Issue) -> bool {
    let url = issue.repository_url.as_deref().unwrap_or_default();
    let mut parts = url.rsplit('/');
    let (name, owner) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    repo.is(&format!("{owner}/{name}"))
}

fn result(issue: &Issue) -> String {
    let kind = if issue.pull_request.is_some() {
        "pull request"
    } else {
        "issue"
    };
    format!(
        "#{} {kind}, {}, by {}, {} comments\n> {}\n",
        issue.number,
        line(&issue.state),
        author(issue.user.as_ref()),
        issue.comments,
        line(&issue.title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_names_a_place_is_refused() {
        for query in [
            "repo:a/b",
            "bug REPO:a/b",
            "bug -repo:a/b",
            "(org:x)",
            "x OR(user:y)",
            "\"repo:a/b\"",
            "label:repo:x",
            "NOT owner:z",
            "a\trepo:b/c",
        ] {
            assert!(check_query(query).is_err(), "{query}");
        }
    }

    #[test]
    fn other_queries_pass() {
        for query in [
            "is:open repo parse",
            "label:user error: x",
            "author:org",
            "user",
        ] {
            assert!(check_query(query).is_ok(), "{query}");
        }
        assert!(check_query("").is_err());
        assert!(check_query(&"a".repeat(257)).is_err());
    }
}
