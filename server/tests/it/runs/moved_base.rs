//! The base branch moves while the model is at work.

use std::path::Path;

use pullwright_protocol::{CheckPhase, CheckReport, Event};
use serde_json::json;

use super::lab::{Lab, Plan, Played, read};
use super::project::git;

/// A model that waits in the middle of its change.
const SLOWLY: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo hi > src/greeting.txt; until [ -e go ]; do sleep 0.05; done; rm go", timeout_sec = 100 } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Greet shortly" }]
"#;

/// What goes on in the remote meanwhile.
type Meanwhile = fn(&Lab);

struct Moved {
    lab: Lab,
    played: Played,
    /// Where `main` was when the run began.
    base: String,
}

impl Moved {
    async fn play(config: &str, meanwhile: Meanwhile) -> Self {
        Self::play_on(|_| {}, config, meanwhile).await
    }

    /// With something done to the project and its remote before anything begins.
    async fn play_on(before: fn(&Path), config: &str, meanwhile: Meanwhile) -> Self {
        let plan = Plan {
            script: SLOWLY,
            config,
            ..Plan::default()
        };
        let lab = Lab::start_with(plan, before).await;
        let base = lab.git(&["rev-parse", "main"]).trim().to_owned();
        let (run, response) = lab.begin().await;
        lab.until(&run, |event| matches!(event, Event::ToolStarted { .. }))
            .await;
        meanwhile(&lab);
        let workspace = lab.path.join("data/runs").join(&run.0).join("workspace");
        std::fs::write(workspace.join("go"), "").expect("let it go on");
        let played = read(response).await;
        Self { lab, played, base }
    }

    fn branch(&self) -> String {
        let branches = self.lab.branches();
        assert_eq!(branches.len(), 1, "{branches:?}\n{}", self.played.text);
        branches[0].clone()
    }

    fn rev(&self, revision: &str) -> String {
        self.lab.git(&["rev-parse", revision]).trim().to_owned()
    }

    fn parents(&self) -> Vec<String> {
        let branch = self.branch();
        let parents = self.lab.git(&["log", "-1", "--format=%P", &branch]);
        parents.split_whitespace().map(str::to_owned).collect()
    }

    async fn checked(&self) -> Vec<CheckReport> {
        let events = self.lab.events(&self.played.id).await;
        let reports = events.into_iter().filter_map(|logged| match logged.event {
            Event::Checked { report } if report.phase == CheckPhase::After => Some(report),
            _ => None,
        });
        reports.collect()
    }
}

/// Somebody pushes a commit to `main` that changes one file.
fn push(lab: &Lab, file: &str, content: &str) {
    let project = lab.path.join("project");
    std::fs::write(project.join(file), content).expect("write a file");
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message", "Theirs"]);
    push_project(lab);
}

fn push_project(lab: &Lab) {
    let remote = lab.remote.to_str().expect("UTF-8");
    let project = lab.path.join("project");
    git(&project, &["push", "--quiet", "--force", remote, "main"]);
}

fn their_file(lab: &Lab) {
    push(lab, "theirs.txt", "theirs\n");
}

const CHECKS: &str = "[checks]\nrun = [\"test -s src/greeting.txt\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_change_is_put_on_the_newest_commit_and_checked_there() {
    let moved = Moved::play(CHECKS, their_file).await;
    moved.played.ended("branch only");
    let branch = moved.branch();
    assert_eq!(moved.parents(), [moved.rev("main")]);
    assert_eq!(moved.lab.pushed_paths(), "M\tsrc/greeting.txt\n");
    let trees: Vec<String> = moved
        .checked()
        .await
        .into_iter()
        .map(|report| report.tree)
        .collect();
    let pushed = moved.rev(&format!("{branch}^{{tree}}"));
    assert_eq!(trees.len(), 2, "{trees:?}");
    assert_ne!(trees[0], pushed);
    assert_eq!(trees[1], pushed, "the last check is of what is pushed");
    let summary = moved.played.summary();
    assert!(summary.contains("was brought onto it"), "{summary}");
    // The patch is of the change as it was made.
    git(
        &moved.lab.path,
        &[
            "clone",
            "--quiet",
            moved.lab.remote.to_str().expect("UTF-8"),
            "old",
        ],
    );
    let old = moved.lab.path.join("old");
    git(&old, &["checkout", "--quiet", &moved.base]);
    let patch = moved.lab.patch(&moved.played.id).await.expect("a patch");
    std::fs::write(moved.lab.path.join("p"), patch).expect("write");
    git(&old, &["apply", "--index", "../p"]);
}

/// A project that has come a long way, at a host that can leave contents out.
fn with_a_past(folder: &Path) {
    let (project, remote) = (
        folder.join("project"),
        folder.join("remotes/owner/project.git"),
    );
    for number in 0..4 {
        std::fs::write(project.join("past.txt"), format!("{number}\n")).expect("write a file");
        git(&project, &["add", "--all"]);
        git(&project, &["commit", "--quiet", "--message", "Earlier"]);
    }
    let url = remote.to_str().expect("UTF-8");
    git(&project, &["push", "--quiet", url, "main"]);
    git(&remote, &["config", "uploadpack.allowFilter", "true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_lacks_something_catches_up_too() {
    for (clone, lacks) in [
        ("shallow", "the history before this commit is not fetched"),
        (
            "blobless",
            "what files held in earlier commits is not fetched",
        ),
    ] {
        let config = format!("{CHECKS}[repositories]\nHOSTS_HERE\nclone = \"{clone}\"\n");
        let moved = Moved::play_on(with_a_past, &config, their_file).await;
        moved.played.ended("branch only");
        assert_eq!(moved.parents(), [moved.rev("main")], "{clone}");
        assert_eq!(moved.lab.pushed_paths(), "M\tsrc/greeting.txt\n");
        let summary = moved.played.summary();
        assert!(
            summary.contains("was brought onto it"),
            "{clone}: {summary}"
        );
        assert!(
            moved.played.text.contains(lacks),
            "{clone}: {}",
            moved.played.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checks_it_is_brought_there_too() {
    let moved = Moved::play("", their_file).await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [moved.rev("main")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_commit_is_merged_where_that_is_configured() {
    let config = format!("{CHECKS}[repositories]\nHOSTS_HERE\nmoved_base = \"merge\"\n");
    let moved = Moved::play(&config, their_file).await;
    moved.played.ended("branch only");
    let parents = moved.parents();
    assert_eq!(parents.len(), 2, "{parents:?}");
    assert_eq!(parents[1], moved.rev("main"));
    assert_eq!(moved.rev(&format!("{}^", parents[0])), moved.base);
    assert_eq!(moved.checked().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_where_that_is_configured() {
    let config = format!("{CHECKS}[repositories]\nHOSTS_HERE\nmoved_base = \"keep\"\n");
    let moved = Moved::play(&config, their_file).await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [&*moved.base]);
    assert_eq!(moved.checked().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_said_and_the_change_stays_where_it_was_made() {
    let moved = Moved::play(CHECKS, |lab| push(lab, "src/greeting.txt", "good day\n")).await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [&*moved.base]);
    let summary = moved.played.summary();
    assert!(
        summary.contains("the change conflicts with it in `src/greeting.txt`"),
        "{summary}"
    );
    let told = moved.played.of("Status");
    let is_told = told.iter().any(|frame| {
        frame["message"]
            .as_str()
            .is_some_and(|text| text.contains("conflicts"))
    });
    assert!(is_told, "{}", moved.played.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_breaks_a_check_there_stays_where_it_was_checked() {
    let check = "[ ! -e theirs.txt ] || [ $(cat src/greeting.txt) = hello ]";
    let config = format!("[checks]\nrun = [\"{check}\"]\n");
    let moved = Moved::play(&config, their_file).await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [&*moved.base]);
    let summary = moved.played.summary();
    assert!(summary.contains("there these checks fail: "), "{summary}");
    assert!(
        !summary.contains("breaks checks that passed before it"),
        "{summary}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_branch_that_is_gone_is_said() {
    let moved = Moved::play(CHECKS, |lab| {
        lab.git(&["update-ref", "-d", "refs/heads/main"]);
    })
    .await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [&*moved.base]);
    let summary = moved.played.summary();
    assert!(summary.contains("is not there any more"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_branch_that_was_rewritten_is_said_and_its_old_commits_do_not_come_back() {
    let moved = Moved::play(CHECKS, |lab| {
        let project = lab.path.join("project");
        std::fs::write(project.join("theirs.txt"), "theirs\n").expect("write a file");
        git(&project, &["add", "--all"]);
        git(
            &project,
            &["commit", "--quiet", "--amend", "--message", "Anew"],
        );
        push_project(lab);
    })
    .await;
    moved.played.ended("branch only");
    assert_eq!(moved.parents(), [moved.rev("main")]);
    let log = moved.lab.git(&["log", "--format=%H", &moved.branch()]);
    assert!(!log.contains(&moved.base), "{log}");
    let summary = moved.played.summary();
    assert!(summary.contains("was rewritten"), "{summary}");
}

/// Nothing is asked of the remote for a change that goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_pushed_is_not_moved() {
    let config = format!("{CHECKS}[repositories]\nHOSTS_HERE\npublish = \"patch\"\n");
    let moved = Moved::play(&config, their_file).await;
    moved.played.ended("patch only");
    assert_eq!(moved.lab.branches(), [""; 0]);
    assert_eq!(moved.checked().await.len(), 1);
    let summary = moved.played.summary();
    assert!(summary.contains("publish = \"patch\""), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_only_be_more_careful() {
    let lab = Lab::start(Plan {
        script: super::lab::GREET,
        config: "[repositories]\nHOSTS_HERE\npublish = \"fork\"\n",
        ..Plan::default()
    })
    .await;
    for asked in ["branch", "auto"] {
        let refused = lab.post("/code", json!({ "publish": asked })).await;
        assert_eq!(refused.status(), 400, "{asked}");
        let text = refused.text().await.expect("a body");
        assert!(text.contains("only be more careful"), "{text}");
    }
    let unknown = lab.post("/code", json!({ "publish": "pigeon" })).await;
    assert_eq!(unknown.status(), 400);
    let played = lab.run_with("/code", json!({ "publish": "patch" })).await;
    played.ended("patch only");
    // A plain remote has no forks, which is said before anything is paid for.
    let played = lab.run().await;
    played.ended("patch only");
    let summary = played.summary();
    assert!(
        summary.contains("makes forks of this repository"),
        "{summary}"
    );
    let first = played.of("Status").into_iter().position(|frame| {
        frame["message"]
            .as_str()
            .is_some_and(|text| text.contains("this run cannot push"))
    });
    assert!(first.is_some(), "{}", played.text);
    assert_eq!(lab.branches(), [""; 0]);
}
