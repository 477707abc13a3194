//! What a key may do, and how a request is held to it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use axum::http::StatusCode;
use pullwright_protocol::{FailureKind, RunRequest};
use serde::{Deserialize, Serialize};

use super::repository::{self, RepositoryGlob};
use crate::problem::ApiProblem;

/// A kind of thing that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Start runs, and end its own.
    Run,
    /// See its own runs.
    Read,
    /// See and end the runs of all, read the metrics and the record of what was done.
    Admin,
}

/// A scope that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{0}`; there are: run, read, admin")]
pub struct UnknownScope(String);

impl Scope {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Run, Self::Read, Self::Admin];
        let known = all.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// What a key may do. A grant that an older version cannot read in full is refused, not read in part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// What kinds of things.
    pub scopes: BTreeSet<Scope>,
    /// On which repositories; on all that the server takes if there are none here.
    pub repositories: Vec<RepositoryGlob>,
    /// With which provider rows, the first one unless the request says; with all if there are none here.
    pub providers: Vec<String>,
    /// The most that one of its runs may cost, in US dollars.
    pub max_usd: Option<f64>,
    /// How many of its runs may be under way at the same time.
    pub max_concurrent: Option<usize>,
}

impl Grant {
    /// Holds a request of the key `name` to this grant: refuses it, or lowers what it asks for.
    ///
    /// # Errors
    /// What the caller is told, with status 403.
    pub fn narrow(&self, name: &str, request: &mut RunRequest) -> Result<(), ApiProblem> {
        self.check_repository(name, &request.repo_url)?;
        self.choose_provider(name, request)?;
        let asked = request.budget.max_usd;
        request.budget.max_usd = match (asked, self.max_usd) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        };
        Ok(())
    }

    fn check_repository(&self, name: &str, url: &str) -> Result<(), ApiProblem> {
        if self.repositories.is_empty() {
            return Ok(());
        }
        let repository = repository::name_of(url);
        let allowed = |repository: &String| {
            self.repositories
                .iter()
                .any(|glob| glob.matches(repository))
        };
        if repository.as_ref().is_some_and(allowed) {
            return Ok(());
        }
        let repository =
            repository.map_or("this repository".to_owned(), |name| format!("`{name}`"));
        let listed: Vec<&str> = self
            .repositories
            .iter()
            .map(RepositoryGlob::as_str)
            .collect();
        Err(forbidden(format!(
            "the API key `{name}` may not work on {repository}; it may on: {}",
            listed.join(", ")
        )))
    }

    fn choose_provider(&self, name: &str, request: &mut RunRequest) -> Result<(), ApiProblem> {
        let Some(first) = self.providers.first() else {
            return Ok(());
        };
        let asked = request.provider.get_or_insert_with(|| first.clone());
        if !self.providers.contains(asked) {
            return Err(forbidden(format!(
                "the API key `{name}` may not use the provider `{asked}`; it may use: {}",
                self.providers.join(", ")
            )));
        }
        if let Some(model) = &request.model {
            return Err(forbidden(format!(
                "the API key `{name}` may use its providers with their own models only; leave \
                 `model` (`{model}`) out"
            )));
        }
        Ok(())
    }
}

/// What a key may not do.
pub(super) fn forbidden(message: String) -> ApiProblem {
    ApiProblem::new(StatusCode::FORBIDDEN, FailureKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RunRequest {
        let body = r#"{ "repoUrl": "https://github.com/acme/shop.git", "prompt": "x" }"#;
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_budget_is_only_ever_lowered() {
        let dollars = |asked, most| {
            let grant = Grant {
                max_usd: most,
                ..Grant::default()
            };
            let mut request = request();
            request.budget.max_usd = asked;
            grant.narrow("ci", &mut request).unwrap();
            request.budget.max_usd
        };
        assert_eq!(dollars(None, None), None);
        assert_eq!(dollars(Some(3.0), None), Some(3.0));
        assert_eq!(dollars(None, Some(2.0)), Some(2.0));
        assert_eq!(dollars(Some(3.0), Some(2.0)), Some(2.0));
        assert_eq!(dollars(Some(1.0), Some(2.0)), Some(1.0));
    }

    #[test]
    fn without_a_word_the_first_provider_is_used() {
        let grant = Grant {
            providers: vec!["cheap".to_owned(), "good".to_owned()],
            ..Grant::default()
        };
        let mut silent = request();
        grant.narrow("ci", &mut silent).unwrap();
        assert_eq!(silent.provider.as_deref(), Some("cheap"));
        let mut good = request();
        good.provider = Some("good".to_owned());
        grant.narrow("ci", &mut good).unwrap();
        assert_eq!(good.provider.as_deref(), Some("good"));
        good.model = Some("dear".to_owned());
        let refused = grant.narrow("ci", &mut good).unwrap_err();
        assert!(
            refused.message.contains("own models"),
            "{}",
            refused.message
        );
    }

    #[test]
    fn a_grant_of_a_later_version_is_not_read_in_part() {
        let later = r#"{"scopes":["run"],"repositories":[],"providers":[],"maxUsd":null,
            "maxConcurrent":null,"onlyOnWeekdays":true}"#;
        assert!(serde_json::from_str::<Grant>(later).is_err());
    }
}
