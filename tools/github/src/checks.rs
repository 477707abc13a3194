//! The checks of a commit: those that failed, and one of our own.

use std::sync::Arc;

use pullwright_tool_kit::protocol::forge::{
    FailedCheck, FailedChecks, ForgeCheckRun, ForgeCommit, PostedCheckRun,
};
use pullwright_tool_kit::{Call, Output, Refusal, bounded_text};
use serde::{Deserialize, Serialize};

use crate::api::{Fault, MAX_ATTEMPTS};
use crate::github::{Account, Github, structured, until_cancelled};
use crate::repository::Repo;

/// What our own check is called.
const NAME: &str = "Pullwright";
/// More failures than this say nothing new, and would fill a model's context.
const MAX_CHECKS: usize = 10;
const MAX_OUTPUT_BYTES: usize = 4_000;
const MAX_ANNOTATIONS: usize = 10;
/// GitHub refuses a longer summary.
const MAX_SUMMARY_BYTES: usize = 65_535;
const LEFT_OUT: &str = "The rest is on GitHub only.";

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    id: u64,
    #[serde(default)]
    name: String,
    conclusion: Option<String>,
    html_url: Option<String>,
    external_id: Option<String>,
    output: Option<CheckOutput>,
}

#[derive(Deserialize)]
struct CheckOutput {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    #[serde(default)]
    annotations_count: u64,
}

#[derive(Deserialize)]
struct Annotation {
    path: Option<String>,
    start_line: Option<u64>,
    message: Option<String>,
}

#[derive(Serialize)]
struct NewCheckRun<'a> {
    name: &'a str,
    head_sha: &'a str,
    external_id: &'a str,
    status: &'a str,
    conclusion: &'a str,
    output: NewOutput<'a>,
}

#[derive(Serialize)]
struct NewOutput<'a> {
    title: &'a str,
    summary: String,
}

impl Github {
    /// The latest checks of a commit that failed, with what they say.
    pub(crate) async fn failed_checks(
        self: Arc<Self>,
        commit: ForgeCommit,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&commit.repository)?;
        check_sha(&commit.sha)?;
        until_cancelled(&call, async {
            let failed = self.read_failed(&repo, &commit.sha).await;
            self.answer(failed.map(|checks| FailedChecks { checks }), || {
                format!("reading the checks of {} in {repo}", commit.sha)
            })
        })
        .await
    }

    /// Writes our own check on a commit. Only Apps may.
    pub(crate) async fn check_run(
        self: Arc<Self>,
        wanted: ForgeCheckRun,
        call: Call,
    ) -> Result<Output, Refusal> {
        let repo = self.repo(&wanted.commit.repository)?;
        check_sha(&wanted.commit.sha)?;
        if !matches!(self.account, Account::App { .. }) {
            return structured(&PostedCheckRun { id: None });
        }
        until_cancelled(&call, async {
            let id = self.write_check(&repo, &wanted).await;
            self.answer(id.map(|id| PostedCheckRun { id: Some(id) }), || {
                format!("writing a check on {} in {repo}", wanted.commit.sha)
            })
        })
        .await
    }

    async fn read_failed(&self, repo: &Repo, sha: &str) -> Result<Vec<FailedCheck>, Fault> {
        let runs = self.check_runs(repo, sha, &[("filter", "latest")]).await?;
        let failed = |run: &CheckRun| {
            let conclusion = run.conclusion.as_deref();
            matches!(
                conclusion,
                Some("failure" | "timed_out" | "startup_failure")
            )
        };
        let mut checks = Vec::new();
        for run in runs.into_iter().filter(failed).take(MAX_CHECKS) {
            let output = self.output_of(repo, &run).await;
            checks.push(FailedCheck {
                name: run.name,
                url: run.html_url,
                output: bounded_text(output.trim(), MAX_OUTPUT_BYTES, LEFT_OUT),
            });
        }
        Ok(checks)
    }

    async fn check_runs(
        &self,
        repo: &Repo,
        sha: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<CheckRun>, Fault> {
        let route = repo.path(format_args!("/commits/{sha}/check-runs"));
        let query = [query, &[("per_page", "100")]].concat();
        let page: Page = self.api.get_with(repo, &route, &query).await?;
        Ok(page.check_runs)
    }

    /// What a check says, and where. Annotations that cannot be read are left out: the rest says enough.
    async fn output_of(&self, repo: &Repo, run: &CheckRun) -> String {
        let Some(output) = &run.output else {
            return String::new();
        };
        let texts = [&output.title, &output.summary, &output.text];
        let texts = texts
            .into_iter()
            .flatten()
            .filter(|text| !text.trim().is_empty());
        let mut said: Vec<String> = texts.cloned().collect();
        if output.annotations_count > 0 {
            let route = repo.path(format_args!("/check-runs/{}/annotations", run.id));
            let read: Result<Vec<Annotation>, _> = self.api.get(repo, &route).await;
            match read {
                Ok(annotations) => {
                    said.extend(annotations.iter().take(MAX_ANNOTATIONS).map(annotated))
                }
                Err(fault) => tracing::info!(%fault, %repo, "annotations cannot be read"),
            }
        }
        said.join("\n")
    }

    /// After every failure that may have written it all the same, it is looked for before it is tried again.
    async fn write_check(&self, repo: &Repo, wanted: &ForgeCheckRun) -> Result<u64, Fault> {
        let new = new_check(wanted);
        if let Some(id) = self.find_check(repo, wanted).await? {
            let route = repo.path(format_args!("/check-runs/{id}"));
            return Ok(self.api.patch::<CheckRun>(repo, &route, &new).await?.id);
        }
        for attempt in 1..=MAX_ATTEMPTS {
            let route = repo.path("/check-runs");
            let fault = match self.api.post_once::<CheckRun>(repo, &route, &new).await {
                Ok(run) => return Ok(run.id),
                Err(fault) => fault,
            };
            let paused = self.api.pause(&fault, attempt).await;
            if fault.may_have_applied()
                && let Some(id) = self.find_check(repo, wanted).await?
            {
                return Ok(id);
            }
            if paused.is_none() {
                return Err(fault);
            }
        }
        Err(Fault::Nonsense("it takes no check".to_owned()))
    }

    async fn find_check(&self, repo: &Repo, wanted: &ForgeCheckRun) -> Result<Option<u64>, Fault> {
        let query = [("check_name", NAME)];
        let runs = self.check_runs(repo, &wanted.commit.sha, &query).await?;
        let ours = |run: &&CheckRun| run.external_id.as_ref() == Some(&wanted.external_id);
        Ok(runs.iter().find(ours).map(|run| run.id))
    }
}

/// A change that breaks a check is for people to look at; a failure of ours would be one to repair.
fn new_check(wanted: &ForgeCheckRun) -> NewCheckRun<'_> {
    NewCheckRun {
        name: NAME,
        head_sha: &wanted.commit.sha,
        external_id: &wanted.external_id,
        status: "completed",
        conclusion: if wanted.succeeded {
            "success"
        } else {
            "neutral"
        },
        output: NewOutput {
            title: &wanted.title,
            summary: bounded_text(
                &wanted.summary,
                MAX_SUMMARY_BYTES - LEFT_OUT.len() - 100,
                LEFT_OUT,
            ),
        },
    }
}

fn annotated(annotation: &Annotation) -> String {
    let message = annotation.message.as_deref().unwrap_or_default();
    match (&annotation.path, annotation.start_line) {
        (Some(path), Some(line)) => format!("{path}:{line}: {message}"),
        (Some(path), None) => format!("{path}: {message}"),
        (None, _) => message.to_owned(),
    }
}

fn check_sha(sha: &str) -> Result<(), Refusal> {
    if matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{}` is no commit's hash",
        sha.escape_debug()
    )))
}
