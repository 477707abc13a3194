//! Labels and people of a pull request. What GitHub does not take is said, and the rest is put there all the same;
//! what it may take later is to be asked for again.

mod before;

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{DetailsSet, PullRequestDetails};
use pullwright_tool_kit::{Call, Output, Refusal};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::api::{Fault, Reason};
use crate::github::{Github, structured, until_cancelled};
use crate::model::{Label, User};
use crate::repository::{Repo, segment};
use before::Before;

#[derive(Serialize)]
struct Labels<'a> {
    labels: &'a [String],
}

#[derive(Serialize)]
struct Assignees<'a> {
    assignees: &'a [String],
}

#[derive(Clone, Copy, Default, Serialize)]
struct Reviewers<'a> {
    reviewers: &'a [String],
    team_reviewers: &'a [String],
}

#[derive(Deserialize)]
struct Assigned {
    #[serde(default)]
    assignees: Vec<User>,
}

/// A pull request, and what was not taken for it.
struct Setting<'a> {
    github: &'a Github,
    repo: Repo,
    number: u64,
    warnings: Vec<String>,
    /// What was being done when GitHub first failed in a way that passes.
    passing: Option<(String, Fault)>,
}

impl Github {
    /// Adds what is not there yet and, where an earlier call may have added it, never was.
    pub(crate) async fn pull_request_details(
        self: Arc<Self>,
        mut wanted: PullRequestDetails,
        call: Call,
    ) -> Result<Output, Refusal> {
        let mut setting = Setting {
            github: &self,
            repo: self.repo(&wanted.repository)?,
            number: wanted.number,
            warnings: Vec::new(),
            passing: None,
        };
        until_cancelled(&call, async {
            if wanted.again {
                match setting.before().await {
                    Ok(before) => before.leave_out_of(&mut wanted),
                    Err(fault) if fault.passes() => {
                        return self.failed("looking for what the pull request got before", &fault);
                    }
                    // Asking twice is better than not at all.
                    Err(_) => {}
                }
            }
            setting.label(&wanted.labels).await;
            setting.assign(&wanted.assignees).await;
            setting.ask(&wanted.reviewers, &wanted.team_reviewers).await;
            match setting.passing {
                Some((doing, fault)) => self.failed(&doing, &fault),
                None => structured(&DetailsSet {
                    warnings: setting.warnings,
                }),
            }
        })
        .await
    }
}

impl Setting<'_> {
    async fn before(&self) -> Result<Before, Fault> {
        let route = self
            .repo
            .path(format_args!("/issues/{}/events", self.number));
        let query = [("per_page", "100")];
        self.github.api.get_with(&self.repo, &route, &query).await
    }

    /// GitHub would make labels that do not exist, which a slip of the pen should not.
    async fn label(&mut self, labels: &[String]) {
        let mut known = Vec::new();
        for label in labels {
            let route = self.repo.path(format_args!("/labels/{}", segment(label)));
            match self.github.api.get::<IgnoredAny>(&self.repo, &route).await {
                Ok(_) => known.push(label.clone()),
                Err(fault) if fault.reason() == Some(&Reason::NotFound) => self.warn(format!(
                    "there is no label `{label}` in {}; make it there, or correct `labels` in [pull_request]",
                    self.repo
                )),
                Err(fault) => self.failed(&format!("looking for the label `{label}`"), &fault),
            }
        }
        if known.is_empty() {
            return;
        }
        let body = Labels { labels: &known };
        let there: Result<Vec<Label>, Fault> = self.post("issues", "labels", &body).await;
        match there {
            Err(fault) => self.failed("labelling the pull request", &fault),
            Ok(there) => {
                let is_there = |name: &String| {
                    there
                        .iter()
                        .any(|label| label.name.eq_ignore_ascii_case(name))
                };
                self.warn_of_dropped("the label", known.iter().filter(|name| !is_there(name)));
            }
        }
    }

    async fn assign(&mut self, people: &[String]) {
        if people.is_empty() {
            return;
        }
        let body = Assignees { assignees: people };
        let there: Result<Assigned, Fault> = self.post("issues", "assignees", &body).await;
        match there {
            Err(fault) => self.failed("assigning the pull request", &fault),
            Ok(Assigned { assignees }) => {
                let is_there = |name: &String| {
                    assignees
                        .iter()
                        .any(|user| user.login.eq_ignore_ascii_case(name))
                };
                self.warn_of_dropped("the assignee", people.iter().filter(|name| !is_there(name)));
            }
        }
    }

    /// One name that GitHub does not take has it take none, so each is then asked alone.
    async fn ask(&mut self, people: &[String], teams: &[String]) {
        let all = Reviewers {
            reviewers: people,
            team_reviewers: teams,
        };
        if people.is_empty() && teams.is_empty() {
            return;
        }
        let Err(fault) = self.ask_for(all).await else {
            return;
        };
        let is_one = people.len() + teams.len() == 1;
        if is_one || !matches!(fault.reason(), Some(Reason::Invalid { .. })) {
            return self.failed("asking for a review", &fault);
        }
        for person in people {
            let reviewers = std::slice::from_ref(person);
            let one = Reviewers {
                reviewers,
                ..Reviewers::default()
            };
            self.ask_alone(person, one).await;
        }
        for team in teams {
            let team_reviewers = std::slice::from_ref(team);
            let one = Reviewers {
                team_reviewers,
                ..Reviewers::default()
            };
            self.ask_alone(team, one).await;
        }
    }

    async fn ask_alone(&mut self, name: &str, reviewer: Reviewers<'_>) {
        if let Err(fault) = self.ask_for(reviewer).await {
            self.failed(&format!("asking `{name}` for a review"), &fault);
        }
    }

    async fn ask_for(&self, reviewers: Reviewers<'_>) -> Result<(), Fault> {
        let asked: Result<IgnoredAny, Fault> =
            self.post("pulls", "requested_reviewers", &reviewers).await;
        asked.map(drop)
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let route = self
            .repo
            .path(format_args!("/{kind}/{}/{what}", self.number));
        self.github.post_repeatedly(&self.repo, &route, body).await
    }

    /// GitHub says nothing of a name that it does not know here, or that the token may not put there.
    fn warn_of_dropped<'n>(&mut self, what: &str, names: impl Iterator<Item = &'n String>) {
        for name in names {
            self.warn(format!(
                "GitHub did not take {what} `{name}`: either it is not known in {}, or the token may not set it",
                self.repo
            ));
        }
    }

    /// The same call once more does what is missing, so a failure that passes is kept for its answer.
    fn failed(&mut self, doing: &str, fault: &Fault) {
        if fault.passes() {
            let passing = || (doing.to_owned(), fault.clone());
            self.passing.get_or_insert_with(passing);
            return;
        }
        let who = self.github.account.to_string();
        self.warn(format!("{doing} failed: {}", fault.explain(&who)));
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}
