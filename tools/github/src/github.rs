//! The shared state of the tools.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{ForgeCredential, ForgeRepository};
use pullwright_tool_kit::protocol::tool::REPOSITORY_META_KEY;
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::Serialize;
use url::Url;

use crate::api::{Api, Fault};
use crate::config::GithubConfig;
use crate::error::GithubError;
use crate::repository::Repo;

/// The user name GitHub takes with any kind of token.
const TOKEN_USERNAME: &str = "x-access-token";

/// One GitHub host and the account used there.
pub struct Github {
    pub(crate) api: Api,
    pub(crate) account: Account,
    origin: String,
}

/// Whom GitHub sees.
pub(crate) enum Account {
    /// Nobody, since this variable is not set.
    Anonymous { variable: String },
    /// Whose token is in this variable.
    Token { variable: String, kind: TokenKind },
    /// The GitHub App with this id, and whether it asks for the right to push workflows.
    App { id: String, workflows: bool },
}

/// What a token's beginning says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Of a user, for chosen repositories of one account.
    FineGrained,
    /// Of a GitHub App where it is installed.
    Installation,
    /// Of a user, or not known.
    Other,
}

impl Github {
    pub(crate) fn new(config: GithubConfig) -> Result<Self, GithubError> {
        Ok(Self {
            api: Api::new(&config)?,
            origin: normal_origin(&config.origin)
                .ok_or_else(|| GithubError::Origin(config.origin.clone()))?,
            account: Account::of(config),
        })
    }

    /// The credential git works with.
    pub(crate) async fn credential(
        self: Arc<Self>,
        repository: ForgeRepository,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&repository)?;
        until_cancelled(&call, async {
            let token = match self.api.token(&repo).await {
                Ok(token) => token,
                Err(fault) => {
                    return self.failed(&format!("getting a token for {repo}"), &fault);
                }
            };
            structured(&ForgeCredential {
                origin: self.origin.clone(),
                username: TOKEN_USERNAME.to_owned(),
                password: token.map(|token| token.expose().to_owned()),
            })
        })
        .await
    }

    /// Checks that `repository` is one of this host.
    pub(crate) fn repo(&self, repository: &ForgeRepository) -> Result<Repo, Refusal> {
        if normal_origin(&repository.origin).as_ref() != Some(&self.origin) {
            return Err(Refusal::new(format!(
                "this tool server is for {}, but the repository is on {}",
                self.origin, repository.origin
            )));
        }
        Repo::parse(&repository.owner, &repository.name)
    }

    /// The repository of the run, which only the framework can name.
    pub(crate) fn run_repo(&self, call: &Call) -> Result<Repo, Refusal> {
        let repository: ForgeRepository = call.meta(REPOSITORY_META_KEY).ok_or_else(|| {
            Refusal::new(format!(
                "the call does not say which repository the run works on (`{REPOSITORY_META_KEY}` \
                 in its _meta), so there is nothing this tool may read"
            ))
        })?;
        self.repo(&repository)
    }

    /// The web address of `repo`.
    pub(crate) fn page(&self, repo: &Repo) -> String {
        format!("{}/{repo}", self.origin)
    }

    /// A refusal that says what could not be done, why, and what to do.
    pub(crate) fn refusal(&self, doing: &str, fault: &Fault) -> Refusal {
        let who = self.account.to_string();
        Refusal::new(format!("{doing} failed: {}", fault.explain(&who)))
    }
}

impl Account {
    fn of(config: GithubConfig) -> Self {
        let variable = config.token_env;
        match (config.app, config.token) {
            (Some(app), _) => Self::App {
                id: app.id,
                workflows: app.workflows,
            },
            (None, Some(token)) => Self::Token {
                variable,
                kind: TokenKind::of(token.expose()),
            },
            (None, None) => Self::Anonymous { variable },
        }
    }
}

impl TokenKind {
    fn of(token: &str) -> Self {
        match token {
            _ if token.starts_with("github_pat_") => Self::FineGrained,
            _ if token.starts_with("ghs_") => Self::Installation,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous { variable } => {
                write!(f, "an anonymous caller ({variable} is not set)")
            }
            Self::Token { variable, .. } => write!(f, "the token in {variable}"),
            Self::App { id, .. } => write!(f, "the GitHub App {id}"),
        }
    }
}

/// Runs `work` until the client no longer wants the answer.
pub(crate) async fn until_cancelled(
    call: &Call,
    work: impl Future<Output = Result<Output, Refusal>>,
) -> Result<Output, Refusal> {
    tokio::select! {
        answer = work => answer,
        () = call.cancelled().cancelled() => Err(Refusal::new("the call was cancelled")),
    }
}

/// An answer for programs, with the same as text for those that read only text. A secret must not
/// be in the text of a model's tool, but these answers never reach a model.
pub(crate) fn structured(answer: &impl Serialize) -> Result<Output, Refusal> {
    let value = serde_json::to_value(answer)
        .map_err(|error| Refusal::new(format!("the answer cannot be written: {error}")))?;
    Ok(Output::default().with_structured(value))
}

/// Scheme, host and, where it is not the scheme's own, port.
fn normal_origin(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let bare = url.host().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    bare.then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_without_its_default_port_and_case() {
        let github = Some("https://github.com".to_owned());
        assert_eq!(normal_origin("https://GitHub.com:443/"), github);
        assert_ne!(normal_origin("http://github.com"), github);
        assert_ne!(normal_origin("https://github.com:8443"), github);
    }

    #[test]
    fn what_is_more_than_an_origin_is_none() {
        for not_bare in [
            "https://me@github.com",
            "https://github.com/owner",
            "https://github.com?x",
            "github.com",
            "file:///tmp",
            "",
        ] {
            assert_eq!(normal_origin(not_bare), None, "{not_bare}");
        }
    }
}
