//! One case: a whole run in which one thing fails, and what came of it.

use std::path::Path;

use pullwright_protocol::{Event, LoggedEvent};
use serde_json::Value;

use super::fault::{Fault, Moment, Times};
use super::ground::Ground;
use super::proxy::{Behind, Plan};
use super::scene::Scene;
use super::server::LABEL;
use super::stage::Stage;
use crate::peers::emulate::REVIEWER;
use crate::peers::forge::git;
use crate::runs::follow_ups::commits::COMMITTER;

/// How long a run may wait in all: a limit that never ends is not waited for.
const MAX_PARKED_MINUTES: f64 = 0.1;

/// The same for one that waits for git, which takes longer.
const MAX_PARKED_FOR_GIT_MINUTES: f64 = 5.0;

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
    /// Whether a branch has a commit that GitHub has made.
    pub(super) is_verified: bool,
    /// Whether the model has made its change.
    pub(super) has_work: bool,
    /// Whether there is a patch that makes the change.
    pub(super) has_patch: bool,
    /// Whether the pull request has its label.
    pub(super) has_labels: bool,
    /// Whether the pull request is assigned, and a review is asked for.
    pub(super) has_people: bool,
    /// Whether the pull request is told to whoever asked for it.
    is_told: bool,
    /// Whether the end says that something is not as it should be.
    says_what_is_lacking: bool,
    /// How many requests have failed as planned.
    failed: usize,
    /// How many pull requests were asked for although one was there.
    repeated: usize,
    frames: String,
}

/// How the run of a case went.
struct Course {
    frames: Vec<Value>,
    patch: Option<String>,
    /// The commit that it began on, where that is not the repository's first.
    began_on: Option<String>,
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
        let (repository, stage) = (self.repository(), self.plan.stage);
        let plan = Some(self.plan);
        let max_parked_minutes = match self.plan.times {
            Times::Long if stage.is_of_git() => MAX_PARKED_FOR_GIT_MINUTES,
            _ => MAX_PARKED_MINUTES,
        };
        let scene = Scene::set(ground, &repository, stage, plan, max_parked_minutes).await;
        let course = self.run(&scene).await;
        let Course { frames, patch, .. } = &course;
        let pulls = ground.pull_requests(&repository).await;
        let done = frames.last().unwrap();
        let outcome = done["outcome"].as_str().unwrap_or("none").to_owned();
        let (behind, github) = (&scene.behind, scene.proxy.github());
        let (holder, other) = match stage.is_of_a_fork() {
            true => (&behind.fork, Some(&behind.bare)),
            false => (&behind.bare, None),
        };
        if let Some(other) = other {
            assert_eq!(branches_in(other).await, [""; 0], "{frames:#?}");
        }
        let branches = branches_in(holder).await;
        let mut is_verified = false;
        let word = match (course.began_on.is_some(), outcome.as_str()) {
            (true, "pull request") => "hey",
            _ => "hi",
        };
        for branch in &branches {
            let greeting = git(holder, &["show", &format!("{branch}:greeting.txt")]).await;
            assert_eq!(greeting, word, "{frames:#?}");
            let committer = ["log", "-1", "--format=%cn <%ce>", branch];
            is_verified |= git(holder, &committer).await == COMMITTER;
        }
        Played {
            number: self.number,
            plan: self.plan,
            outcome,
            has_waited: frames.iter().any(is_waiting),
            pull_requests: pulls.len(),
            branches: branches.len(),
            is_verified,
            has_work: frames.iter().any(|frame| frame["type"] == "Tool: Edit"),
            has_patch: makes_the_change(behind, patch.as_deref(), course.began_on.as_deref()).await,
            has_labels: pulls.iter().any(|pull| pull["labels"][0]["name"] == LABEL),
            has_people: github.assignees() == [REVIEWER]
                && pulls
                    .iter()
                    .any(|pull| pull["requested_reviewers"][0]["login"] == REVIEWER),
            is_told: done["prUrl"].is_string(),
            says_what_is_lacking: text(&done["summary"]).contains("WARNING"),
            failed: scene.proxy.failed(),
            repeated: github.repeated(),
            frames: format!("{frames:#?}"),
        }
    }

    /// The run, or the one that is looked at.
    async fn run(&self, scene: &Scene) -> Course {
        let stage = self.plan.stage;
        if stage.is_resumed() {
            return self.resume(scene).await;
        }
        let server = scene.desk.serve("data").await;
        let (mut run, mut frames) = server.code(&scene.asked).await;
        let mut began_on = None;
        if stage == Stage::FollowLook {
            let branches = branches_in(&scene.behind.bare).await;
            began_on = Some(git(&scene.behind.bare, &["rev-parse", &branches[0]]).await);
            scene.proxy.arm();
            run = server.say(&run, "Greet loosely").await;
            frames = server.frames(&run).await;
        }
        let patch = server.patch(&run).await;
        server.kill().await;
        Course {
            frames,
            patch,
            began_on,
        }
    }

    /// A run whose server dies, and the next server is there at once.
    async fn resume(&self, scene: &Scene) -> Course {
        let first = scene.desk.serve("data").await;
        let run = first.begin(text(&scene.asked["repoUrl"])).await;
        match self.plan.stage {
            Stage::ResumeWork => drop(first.events(&run, has_edited).await),
            _ => scene.proxy.held().await,
        }
        first.kill().await;
        scene.proxy.arm();
        let server = scene.desk.serve("data").await;
        let frames = server.frames(&run).await;
        let patch = server.patch(&run).await;
        server.kill().await;
        Course {
            frames,
            patch,
            began_on: None,
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
            (
                "what can be done without has cost the pull request",
                plan.stage == Stage::Rules && !is_proposed,
            ),
            (
                "somebody else than GitHub has made the commit",
                plan.stage == Stage::Commit && self.branches > 0 && !self.is_verified,
            ),
            (
                "what passes has cost the verification",
                plan.stage.verified().is_some() && self.passed() && !self.is_verified,
            ),
            (
                "labels and people have cost the pull request",
                plan.stage.has_details() && !is_proposed,
            ),
            (
                "what passes has cost the labels or the people",
                self.passed() && self.lacks_details(),
            ),
            (
                "it does not say what the pull request lacks",
                self.lacks_details() && !self.says_what_is_lacking,
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

    fn lacks_details(&self) -> bool {
        self.plan.stage.has_details() && !(self.has_labels && self.has_people)
    }

    /// Whether the fault was over before anybody had to give up.
    fn passed(&self) -> bool {
        let plan = &self.plan;
        let is_lasting = matches!(plan.fault.name, "403 secondary" | "429" | "401");
        let is_git_s_page =
            plan.fault.name == "page" && plan.stage.is_of_git() && plan.stage != Stage::PushAsk;
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

fn has_edited(logged: &LoggedEvent) -> bool {
    matches!(logged.event, Event::ToolAnswered { .. })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What there is beside `main`.
async fn branches_in(bare: &Path) -> Vec<String> {
    let heads = ["for-each-ref", "--format=%(refname)", "refs/heads"];
    let found = git(bare, &heads).await;
    let branches = found.lines().filter(|name| *name != "refs/heads/main");
    branches.map(str::to_owned).collect()
}

/// Whether the patch makes what was asked for of `main`, or of the commit that the run began on.
async fn makes_the_change(behind: &Behind, patch: Option<&str>, began_on: Option<&str>) -> bool {
    let Some(patch) = patch else { return false };
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    let (bare, into) = (behind.bare.to_str().unwrap(), clone.to_str().unwrap());
    git(
        folder.path(),
        &["clone", "--quiet", "--branch", "main", bare, into],
    )
    .await;
    if let Some(commit) = began_on {
        git(&clone, &["checkout", "--quiet", commit]).await;
    }
    let file = folder.path().join("run.patch");
    std::fs::write(&file, patch).unwrap();
    git(&clone, &["apply", file.to_str().unwrap()]).await;
    let word = if began_on.is_some() { "hey\n" } else { "hi\n" };
    read(&clone.join("greeting.txt")) == word
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
