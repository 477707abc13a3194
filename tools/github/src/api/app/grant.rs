//! How a token for one repository is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::{AppFault, Permission};
use super::key::AppKey;
use super::slot::Token;
use crate::api::account::{Account, Who};
use crate::api::fault::said_at;
use crate::api::{By, Fault, NO_BODY, Reason, Wire};
use crate::config::AppConfig;
use crate::error::GithubError;
use crate::repository::Repo;

/// What the tools need, in GitHub's words.
const NEEDED: [(&str, &str); 4] = [
    ("contents", "write"),
    ("issues", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
];
/// What pushing files under `.github/workflows` needs besides.
const WORKFLOWS: (&str, &str) = ("workflows", "write");
/// What talking with people needs, and no more: nothing is pushed meanwhile.
const TO_TALK: [(&str, &str); 3] = [
    ("issues", "write"),
    ("metadata", "read"),
    ("pull_requests", "write"),
];
/// What is asked for besides where it was granted: checks are read, and one of ours is written.
const CHECKS: &str = "checks";
/// GitHub allows a clock to be about this wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Asks for tokens, as the App.
pub(super) struct Granter {
    id: String,
    key: AppKey,
    key_source: String,
    needed: BTreeMap<&'static str, &'static str>,
    /// Whether it is for talking with people.
    talks: bool,
    account: Arc<Account>,
}

impl Granter {
    pub(super) fn new(config: &AppConfig, account: Arc<Account>) -> Result<Self, GithubError> {
        let workflows = config.workflows.then_some(WORKFLOWS);
        let needed = match config.talks {
            true => TO_TALK.into_iter().collect(),
            false => NEEDED.into_iter().chain(workflows).collect(),
        };
        Ok(Self {
            id: config.id.clone(),
            key: AppKey::new(config)?,
            key_source: config.key_source.clone(),
            needed,
            talks: config.talks,
            account,
        })
    }

    /// A new token for `repo` and for nothing else.
    pub(super) async fn grant(&self, wire: &Wire, repo: &Repo) -> Result<Token, Fault> {
        let installation = self.installation(wire, repo).await?;
        let wanted = Wanted {
            repositories: [repo.name.as_str()],
            permissions: &self.wanted(&installation),
        };
        let route = format!("/app/installations/{}/access_tokens", installation.id);
        let asked = self.ask(wire, Method::POST, &route, Some(&wanted)).await;
        let (headers, granted): (_, Granted) =
            asked.map_err(|fault| self.not_granted(repo, fault))?;
        let life = life(&headers, granted.expires_at);
        tracing::info!(app = self.id, %repo, life_sec = life.as_secs(), "a token was granted");
        let account = wire.account(Who::Installation(installation.id));
        Token::new(&granted.token, life, account)
            .ok_or_else(|| Fault::Nonsense("it holds no token".to_owned()))
    }

    /// What is needed, and of what is of use what was granted.
    fn wanted(&self, installation: &Installation) -> BTreeMap<&'static str, &'static str> {
        let mut wanted = self.needed.clone();
        let granted = installation.permissions.as_ref();
        let checks = granted.and_then(|granted| granted.get(CHECKS));
        match checks.map_or(0, |level| rank(level)) {
            0 => {}
            _ if !self.talks => {}
            1 => drop(wanted.insert(CHECKS, "read")),
            _ => drop(wanted.insert(CHECKS, "write")),
        }
        wanted
    }

    async fn installation(&self, wire: &Wire, repo: &Repo) -> Result<Installation, Fault> {
        let route = repo.path("/installation");
        let asked = self.ask(wire, Method::GET, &route, NO_BODY).await;
        let (_, found): (_, Installation) = asked.map_err(|fault| match fault.reason() {
            Some(Reason::NotFound) => self.not_installed(repo),
            _ => fault,
        })?;
        if found.suspended_at.is_some() {
            return Err(self.suspended(repo));
        }
        let lacking = found.lacking(&self.needed);
        if lacking.is_empty() {
            return Ok(found);
        }
        Err(self.lacks(repo, lacking))
    }

    /// A request as the App itself.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        wire: &Wire,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(HeaderMap, T), Fault> {
        let proof = self.key.proof(SystemTime::now());
        let proof = proof.map_err(|reason| Fault::from(AppFault::Signing { reason }))?;
        let answer = wire
            .send(method, route, body, By::Other(&proof, &self.account))
            .await;
        answer.map_err(|fault| self.unknown(fault))
    }

    /// Why GitHub does not believe that we are the App.
    fn unknown(&self, fault: Fault) -> Fault {
        let Fault::Refused(refused) = &fault else {
            return fault;
        };
        let unknown = refused.reason == Reason::NotFound
            && refused.message.to_ascii_lowercase().contains("integration");
        if refused.reason != Reason::BadToken && !unknown {
            return fault;
        }
        if let Some(clock) = refused.at.and_then(clock_fault) {
            return clock.into();
        }
        AppFault::Unknown {
            id: self.id.clone(),
            key_source: self.key_source.clone(),
            said: refused.message.clone(),
        }
        .into()
    }

    fn not_granted(&self, repo: &Repo, fault: Fault) -> Fault {
        let Fault::Refused(refused) = &fault else {
            return fault;
        };
        let said = refused.message.to_ascii_lowercase();
        match refused.reason {
            _ if said.contains("suspended") => self.suspended(repo),
            Reason::Invalid { .. } if said.contains("permission") => {
                self.lacks(repo, self.needed.iter().map(permission).collect())
            }
            Reason::Invalid { .. } | Reason::NotFound => self.not_installed(repo),
            _ => fault,
        }
    }

    fn not_installed(&self, repo: &Repo) -> Fault {
        let (id, repo) = (self.id.clone(), repo.to_string());
        AppFault::NotInstalled { id, repo }.into()
    }

    fn suspended(&self, repo: &Repo) -> Fault {
        let (id, owner) = (self.id.clone(), repo.owner.clone());
        AppFault::Suspended { id, owner }.into()
    }

    fn lacks(&self, repo: &Repo, lacking: Vec<Permission>) -> Fault {
        AppFault::NotGranted {
            id: self.id.clone(),
            owner: repo.owner.clone(),
            lacking,
        }
        .into()
    }
}

#[derive(Serialize)]
struct Wanted<'a> {
    repositories: [&'a str; 1],
    permissions: &'a BTreeMap<&'static str, &'static str>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    suspended_at: Option<String>,
    /// What its owner granted; only GitHub itself knows where this is absent.
    permissions: Option<BTreeMap<String, String>>,
}

impl Installation {
    fn lacking(&self, needed: &BTreeMap<&'static str, &'static str>) -> Vec<Permission> {
        let Some(granted) = &self.permissions else {
            return Vec::new();
        };
        let has = |name: &str, level: &str| {
            let granted = granted.get(name).map_or("none", String::as_str);
            rank(granted) >= rank(level)
        };
        needed
            .iter()
            .filter(|(name, level)| !has(name, level))
            .map(permission)
            .collect()
    }
}

#[derive(Deserialize)]
struct Granted {
    token: String,
    expires_at: DateTime<Utc>,
}

fn permission((name, level): (&&'static str, &&'static str)) -> Permission {
    Permission { name, level }
}

fn rank(level: &str) -> u8 {
    match level {
        "admin" => 3,
        "write" => 2,
        "read" => 1,
        _ => 0,
    }
}

/// How long a token lasts, by GitHub's clock where it tells it.
fn life(headers: &HeaderMap, expires_at: DateTime<Utc>) -> Duration {
    let now = said_at(headers).unwrap_or_else(SystemTime::now);
    let expires_at = SystemTime::from(expires_at);
    expires_at.duration_since(now).unwrap_or_default()
}

/// The fault, when this machine's clock is far from GitHub's.
fn clock_fault(theirs: SystemTime) -> Option<AppFault> {
    let ours = SystemTime::now();
    let (off, ahead) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, true),
        Err(behind) => (behind.duration(), false),
    };
    (off > CLOCK_TOLERANCE).then_some(AppFault::Clock {
        seconds: off.as_secs(),
        ahead,
    })
}
