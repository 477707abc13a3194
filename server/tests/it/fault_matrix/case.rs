//! One case: a whole run in which one thing fails, and what came of it.

use std::path::Path;

use serde_json::{Value, json};

use super::fault::{Fault, Moment, Times};
use super::ground::Ground;
use super::proxy::{Behind, Plan, Proxy};
use super::server::Desk;
use super::stage::Stage;
use crate::peers::forge::git;

/// How long a run may wait in all: a limit that never ends is not waited for.
const MAX_PARKED_MINUTES: f64 = 0.1;

/// The branch of runs that find a pull request open.
const BRANCH: &str = "work";

/// A run in which one thing fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) number: usize,
    pub(super) plan: Plan,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) number: usize,
    pub(super) plan: Plan,
    pub(super) outcome: String,
    /// Whether the run was put aside for a while.
    pub(super) has_waited: bool,
    /// How many pull requests there are.
    pub(super) pull_requests: usize,
    pub(super) branches: usize,
    /// Whether the model has made its change.
    pub(super) has_work: bool,
    /// Whether there is a patch that makes the change.
    pub(super) has_patch: bool,
    /// Whether the pull request is told to whoever asked for it.
    is_told: bool,
    /// How many requests have failed as planned.
    failed: usize,
    /// How many pull requests were asked for although one was there.
    repeated: usize,
    frames: String,
}

impl Case {
    /// All cases of a stage.
    pub(super) fn of(stage: Stage) -> Vec<Self> {
        let plans = Fault::of(stage).flat_map(|fault| {
            let moments = fault.moments(stage).iter();
            moments.flat_map(move |moment| {
                let times = fault.times(stage).iter();
                times.map(move |times| Plan {
                    stage,
                    fault,
                    moment: *moment,
                    times: *times,
                })
            })
        });
        let numbered = plans.enumerate();
        numbered
            .map(|(number, plan)| Self { number, plan })
            .collect()
    }

    pub(super) fn repository(&self) -> String {
        format!("case-{}", self.number)
    }

    /// Plays it.
    pub(super) async fn play(&self, ground: &Ground) -> Played {
        let repository = self.repository();
        let behind = ground.behind(&repository).await;
        let stage = self.plan.stage;
        if stage.has_pull_request() {
            ground.propose(&repository, BRANCH).await;
        }
        let proxy = Proxy::start(behind.clone(), Some(self.plan)).await;
        let desk = Desk::new(&proxy.host, stage.is_of_an_app(), MAX_PARKED_MINUTES);
        let server = desk.serve("data").await;
        let mut asked = json!({
            "repoUrl": ground.url(&proxy.host, &repository),
            "prompt": "Greet shortly",
        });
        if stage.has_pull_request() {
            asked["branch"] = json!(BRANCH);
        }
        let (run, frames) = server.code(&asked).await;
        let patch = server.patch(&run).await;
        server.kill().await;
        let pulls = ground.pull_requests(&repository).await;
        let done = frames.last().unwrap();
        let branches = git(
            &behind.bare,
            &["for-each-ref", "--format=%(refname)", "refs/heads"],
        );
        let branches = branches.await;
        let branches: Vec<&str> = branches
            .lines()
            .filter(|name| *name != "refs/heads/main")
            .collect();
        for branch in &branches {
            assert_eq!(greeting(&behind, branch).await, "hi", "{frames:#?}");
        }
        Played {
            number: self.number,
            plan: self.plan,
            outcome: done["outcome"].as_str().unwrap_or("none").to_owned(),
            has_waited: frames.iter().any(is_waiting),
            pull_requests: pulls.len(),
            branches: branches.len(),
            has_work: frames.iter().any(|frame| frame["type"] == "Tool: Edit"),
            has_patch: makes_the_change(&behind, patch.as_deref()).await,
            is_told: done["prUrl"].is_string(),
            failed: proxy.failed(),
            repeated: proxy.repeated(),
            frames: format!("{frames:#?}"),
        }
    }
}

impl Played {
    /// What must not be, in words.
    pub(super) fn broken_promises(&self) -> Vec<String> {
        let plan = &self.plan;
        let kept = self.has_patch || self.branches > 0;
        let is_proposed = self.outcome == "pull request";
        let promises = [
            ("nothing failed", self.failed == 0),
            ("the work is lost", self.has_work && !kept),
            ("a pull request is doubled", self.pull_requests > 1),
            ("a branch is doubled", self.branches > 1),
            (
                "a pull request was asked for again without a look",
                self.repeated > 0,
            ),
            (
                "the run has no end",
                !self.frames.contains("\"type\": String(\"Done\")"),
            ),
            (
                "it says it proposed what is not there",
                is_proposed && (self.pull_requests == 0 || !self.is_told),
            ),
            (
                "what passes is no reason to fail",
                self.passed() && !is_proposed,
            ),
        ];
        let broken = promises.into_iter().filter(|(_, is_broken)| *is_broken);
        broken
            .map(|(promise, _)| {
                let (stage, fault) = (plan.stage.name(), plan.fault.name);
                let when = (plan.moment, plan.times);
                format!("{stage}, {fault}, {when:?}: {promise}\n{}", self.frames)
            })
            .collect()
    }

    /// Whether the fault was over before anybody had to give up.
    fn passed(&self) -> bool {
        let plan = &self.plan;
        let is_lasting = matches!(plan.fault.name, "403 secondary" | "429" | "401");
        let is_git_s_page = plan.fault.name == "page" && plan.stage.is_of_git();
        plan.times != Times::Always && !is_lasting && !is_git_s_page
    }

    pub(super) fn moment(&self) -> &'static str {
        match self.plan.moment {
            Moment::Before => "before",
            Moment::After => "after",
        }
    }
}

fn is_waiting(frame: &Value) -> bool {
    let message = frame["message"].as_str().unwrap_or_default();
    message.starts_with("the run waits")
}

async fn greeting(behind: &Behind, revision: &str) -> String {
    git(&behind.bare, &["show", &format!("{revision}:greeting.txt")]).await
}

/// Whether the patch makes of `main` what was asked for.
async fn makes_the_change(behind: &Behind, patch: Option<&str>) -> bool {
    let Some(patch) = patch else { return false };
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    let (bare, into) = (behind.bare.to_str().unwrap(), clone.to_str().unwrap());
    git(
        folder.path(),
        &["clone", "--quiet", "--branch", "main", bare, into],
    )
    .await;
    let file = folder.path().join("run.patch");
    std::fs::write(&file, patch).unwrap();
    git(&clone, &["apply", file.to_str().unwrap()]).await;
    read(&clone.join("greeting.txt")) == "hi\n"
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
