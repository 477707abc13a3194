//! Changes whose commit the code host makes.

use serde_json::json;

use super::follow_ups::commits::{Act, COMMITTER};
use super::follow_ups::office::Office;
use super::lab::GREET;
use super::project;

const ALWAYS: &str = "[commit]\nverified = \"always\"\nco_authors = [\"Ann <ann@example.com>\"]\n";
const WHEN_POSSIBLE: &str = "[commit]\nverified = \"when_possible\"\n";
const CHECKS: &str = "[checks]\nrun = [\"test -s src/greeting.txt\"]\n";

/// Where it is said that a commit is not verified.
const NOT_VERIFIED: &str = "the commit will not be verified: ";

/// A model that makes a program, and nothing else.
const PROGRAM: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo 'echo hi' > greet; chmod +x greet" } } }]
[[replies]]
steps = [{ text = "Greet by a program" }]
"#;

/// Who has committed what a revision names.
fn committer(office: &Office, revision: &str) -> String {
    office.git(&["log", "-1", "--format=%cn <%ce>", revision])
}

/// That a run ends so, proposes nothing and keeps its work; and its stream.
async fn is_kept(office: &Office, run: &str, outcome: &str) -> String {
    let stream = office.ends(run, outcome).await;
    let pulls = office.github().pulls();
    assert!(pulls.is_empty(), "{pulls:#?}");
    let patch = office.pullwright(&["runs", "patch", run]);
    let patch = String::from_utf8_lossy(&patch.stdout).into_owned();
    assert!(patch.contains("diff --git"), "{patch}");
    stream
}

/// That a change was proposed once, in one commit of the host on `main`, and what was proposed.
fn is_proposed_once(office: &Office) -> serde_json::Value {
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert_eq!(committer(office, &branch), COMMITTER);
    let main = office.git(&["rev-parse", "main"]);
    assert_eq!(office.git(&["rev-parse", &format!("{branch}^")]), main);
    assert_eq!(office.greeting(&branch), "hi");
    let mut pulls = office.github().pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    pulls.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_makes_the_commit_and_the_next_one_of_the_line() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo hi > src/greeting.txt; echo more > 'a file'; rm README.md" } } }]
[[replies]]
steps = [{ text = "Greet shortly\n\nOne word." }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Greet twice\n\nAs asked." }]
"#;
    let office = Office::with_github(script, &format!("{ALWAYS}{CHECKS}")).await;
    let run = office.run("pull request").await;
    let pull = is_proposed_once(&office);
    let branch = office.branch();
    let tree = office.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    let body = pull["body"].as_str().expect("a body");
    assert!(
        body.contains(&tree),
        "the checked tree is the pushed one: {body}"
    );
    let paths = office.git(&["diff", "--name-status", &format!("main..{branch}")]);
    assert_eq!(paths, "D\tREADME.md\nA\ta file\nM\tsrc/greeting.txt");
    let said = office.git(&["log", "-1", "--format=%an|%B", &branch]);
    assert_eq!(
        said,
        "robot|Greet shortly\n\nOne word.\n\nCo-authored-by: Ann <ann@example.com>"
    );
    let first = office.git(&["rev-parse", &branch]);
    // The run knows it as its own.
    office.until_logged(&run, &first).await;

    office
        .follow(&run, "and say it twice", "pull request")
        .await;
    assert_eq!(office.commits(&branch), ["Greet shortly", "Greet twice"]);
    assert_eq!(office.git(&["rev-parse", &format!("{branch}^")]), first);
    assert_eq!(committer(&office, &branch), COMMITTER);
    assert_eq!(office.github().pulls().len(), 1);
    assert_eq!(office.github().commits.asked(), 2);
    let replayed = office.pullwright(&["replay", &run, "--tools", "recorded"]);
    let replayed = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.starts_with("identical: "), "{replayed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_makes_it_in_a_fork() {
    let fork = "[repositories]\nHOSTS_HERE\npublish = \"fork\"\n";
    let office = Office::with_github(GREET, &format!("{ALWAYS}{fork}")).await;
    office.run("pull request").await;
    assert_eq!(office.branches(), [""; 0]);
    let pull = office.github().pulls().remove(0);
    assert_eq!(pull["head"]["repo"]["full_name"], "robot/project");
    let branch = pull["head"]["ref"].as_str().expect("a branch");
    let fork = office.desk.path.join("remotes/robot/project.git");
    let committed = project::git(&fork, &["log", "-1", "--format=%cn <%ce>", branch]);
    assert_eq!(committed.trim(), COMMITTER);
}

/// What the host has made is fetched into a repository that lacks the history, or the files.
#[tokio::test(flavor = "multi_thread")]
async fn it_makes_it_for_a_clone_that_is_not_full() {
    for way in ["shallow", "blobless"] {
        let clone = format!("[repositories]\nHOSTS_HERE\nclone = \"{way}\"\n");
        let office = Office::with_github(GREET, &format!("{ALWAYS}{CHECKS}{clone}")).await;
        office.run("pull request").await;
        is_proposed_once(&office);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found() {
    let office = Office::with_github(GREET, ALWAYS).await;
    office.github().commits.act(Act::BreakAfter);
    office.run("pull request").await;
    is_proposed_once(&office);
    assert_eq!(office.github().commits.asked(), 1);
}

/// Nothing comes onto the branch any more that was made for the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_not_wait_takes_its_branch_back() {
    let budget = "[budget]\nmax_usd = \"none\"\nmax_parked_minutes = 0.01\n";
    let settings = format!("longest_wait_sec = 1\n{ALWAYS}{budget}");
    let office = Office::with_github(GREET, &settings).await;
    office.github().commits.act(Act::Limit);
    let run = office.start(json!({})).await;
    let told = is_kept(&office, &run, "failed(forge)").await;
    assert!(told.contains("max_parked_minutes"), "{told}");
    assert_eq!(office.branches(), [""; 0]);
}

/// GitHub's API is out of order, and its git is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_failing_is_done_without_where_it_may_be() {
    let office = Office::with_github(GREET, WHEN_POSSIBLE).await;
    office.github().commits.act(Act::Break);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(stream.contains(NOT_VERIFIED), "{stream}");
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert!(committer(&office, &branch).starts_with("Pullwright <"));
    assert!(office.github().commits.asked() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_pushes_first_is_left_alone() {
    let office = Office::with_github(GREET, ALWAYS).await;
    office.github().commits.act(Act::BeOvertaken);
    let run = office.start(json!({})).await;
    let told = is_kept(&office, &run, "failed(push)").await;
    assert_eq!(office.commits(&office.branch()), ["By a person"]);
    assert!(told.contains("other work"), "{told}");
}

/// The host has made something else of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_checked_is_not_proposed() {
    let office = Office::with_github(GREET, ALWAYS).await;
    office.github().commits.act(Act::MakeAnother);
    let run = office.start(json!({})).await;
    let told = is_kept(&office, &run, "failed(push)").await;
    assert!(told.contains("not of what was checked"), "{told}");
    assert_eq!(office.branches(), [""; 0], "it is removed");

    let office = Office::with_github(GREET, WHEN_POSSIBLE).await;
    office.github().commits.act(Act::MakeAnother);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(stream.contains(NOT_VERIFIED), "{stream}");
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert!(committer(&office, &branch).starts_with("Pullwright <"));
    assert_eq!(office.greeting(&branch), "hi");
}

/// The branch is that of an open pull request, so it is not removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_checked_is_told_where_it_is_proposed() {
    let script = format!(
        r#"{GREET}
[[replies]]
steps = [{{ tool_call = {{ name = "edit", arguments = {{ path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" }} }} }}]
[[replies]]
steps = [{{ text = "Greet twice" }}]
"#
    );
    let office = Office::with_github(&script, ALWAYS).await;
    let run = office.run("pull request").await;
    office.github().commits.act(Act::MakeAnother);
    let next = office.follow(&run, "twice", "failed(push)").await;
    let branch = office.branch();
    assert_eq!(office.commits(&branch).len(), 2);
    assert_eq!(office.github().pulls().len(), 1);
    let told = office.ends(&next, "failed(push)").await;
    assert!(told.contains("take it off there"), "{told}");
    let patch = office.pullwright(&["runs", "patch", &next]);
    assert!(String::from_utf8_lossy(&patch.stdout).contains("+hi hi"));
}

/// Nothing is pushed in the place of what somebody has done to the branch since, nor of what was right.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_does_to_the_hosts_commit_is_left_alone() {
    let table: [(Act, &[&str], &str); 2] = [
        (Act::LoseBranch, &[], "somebody deleted it"),
        (
            Act::BeBuiltOn,
            &["Greet shortly", "By a person"],
            "other work",
        ),
    ];
    for (act, commits, why) in table {
        let office = Office::with_github(GREET, WHEN_POSSIBLE).await;
        office.github().commits.act(act);
        let run = office.start(json!({})).await;
        let told = is_kept(&office, &run, "failed(push)").await;
        assert!(told.contains(why), "{act:?}: {told}");
        assert!(!told.contains(NOT_VERIFIED), "{act:?}: {told}");
        match commits.is_empty() {
            true => assert_eq!(office.branches(), [""; 0]),
            false => assert_eq!(office.commits(&office.branch()), commits),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_host_refuses_it_hangs_on_the_setting() {
    let refusal = "Resource not accessible by integration";
    let office = Office::with_github(GREET, ALWAYS).await;
    office
        .github()
        .commits
        .act(Act::Refuse("FORBIDDEN", refusal));
    let run = office.start(json!({})).await;
    let told = is_kept(&office, &run, "patch only").await;
    assert!(
        told.contains(refusal) && told.contains("lacks a right"),
        "{told}"
    );
    assert_eq!(office.branches(), [""; 0], "the branch is taken back");

    let office = Office::with_github(GREET, WHEN_POSSIBLE).await;
    office
        .github()
        .commits
        .act(Act::Refuse("FORBIDDEN", refusal));
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(
        stream.contains(NOT_VERIFIED) && stream.contains(refusal),
        "{stream}"
    );
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert!(committer(&office, &branch).starts_with("Pullwright <"));
    assert_eq!(office.github().pulls().len(), 1);
    // What it makes is verified there, too.
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(!stream.contains(NOT_VERIFIED), "{stream}");
    let branches = office.branches();
    assert!(
        branches
            .iter()
            .any(|branch| committer(&office, branch) == COMMITTER)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_can_write_hangs_on_the_setting() {
    let office = Office::with_github(PROGRAM, ALWAYS).await;
    let run = office.start(json!({})).await;
    let told = is_kept(&office, &run, "patch only").await;
    assert!(told.contains("`greet` is executable"), "{told}");
    assert_eq!(office.branches(), [""; 0]);

    let office = Office::with_github(PROGRAM, WHEN_POSSIBLE).await;
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    let told = format!("{NOT_VERIFIED}`greet` is executable");
    assert!(stream.contains(&told), "{stream}");
    let mode = office.git(&["ls-tree", &office.branch(), "greet"]);
    assert!(mode.starts_with("100755 "), "{mode}");
    assert_eq!(office.github().commits.asked(), 0);
}

/// Near to the most that is given to a host: it goes through every link on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_change_is_made_there_too() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "for n in 1 2 3 4 5 6 7 8 9 10; do head -c 1040000 /dev/zero > zeros$n; done" } } }]
[[replies]]
steps = [{ text = "Add zeros" }]
"#;
    let office = Office::with_github(script, ALWAYS).await;
    office.run("pull request").await;
    let branch = office.branch();
    assert_eq!(committer(&office, &branch), COMMITTER);
    let size = office.git(&["cat-file", "-s", &format!("{branch}:zeros10")]);
    assert_eq!(size, "1040000");
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_take_signed_commits_only_take_those() {
    for (setting, outcome) in [(ALWAYS, "pull request"), ("", "patch only")] {
        let office = Office::with_github(GREET, setting).await;
        let rules = &office.github().rules;
        rules.rule_others("required_signatures", json!(null), Some("never"));
        let run = office.start(json!({ "publish": "branch" })).await;
        office.ends(&run, outcome).await;
    }
}

/// A branch that is where the change is to be put on, but is not the run's.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_somebody_else_is_not_committed_to() {
    let office = Office::with_github(GREET, ALWAYS).await;
    office.git(&["branch", "theirs", "main"]);
    let run = office.start(json!({ "branch": "theirs" })).await;
    let told = is_kept(&office, &run, "failed(push)").await;
    assert!(told.contains("already has a branch `theirs`"), "{told}");
    assert_eq!(office.github().commits.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_code_host_it_is_said_before_the_model_works() {
    let office = Office::plain_with(GREET, ALWAYS).await;
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "patch only").await;
    let said = stream.find("no other is pushed").expect(&stream);
    let started = stream.find("starts to work").expect(&stream);
    assert!(said < started, "{stream}");
    assert_eq!(office.branches(), [""; 0]);

    let office = Office::plain_with(GREET, WHEN_POSSIBLE).await;
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "branch only").await;
    assert!(stream.contains(NOT_VERIFIED), "{stream}");
    assert_eq!(office.branches().len(), 1);
}

/// The server dies between the branch and the commit, and after the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_meanwhile_leaves_one_commit() {
    for (act, asked) in [(Act::HangBefore, 2), (Act::HangAfter, 1)] {
        let mut office = Office::with_github(GREET, ALWAYS).await;
        office.github().commits.act(act);
        let run = office.start(json!({})).await;
        office.github().commits.until_asked(1).await;
        office.kill_and_serve();
        office.ends(&run, "pull request").await;
        is_proposed_once(&office);
        assert_eq!(office.github().commits.asked(), asked, "{act:?}");
    }
}

/// It was begun to be made there, and is to be made here by the next owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_changes_meanwhile_loses_nothing() {
    let mut office = Office::with_github(GREET, ALWAYS).await;
    office.github().commits.act(Act::HangBefore);
    let run = office.start(json!({})).await;
    office.github().commits.until_asked(1).await;
    let config = office.desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, text.replace("\"always\"", "\"off\"")).expect("write");
    office.kill_and_serve();
    office.ends(&run, "pull request").await;
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert!(committer(&office, &branch).starts_with("Pullwright <"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_puts_the_run_aside_and_it_goes_on() {
    // The first line belongs to the row of the code host.
    let office = Office::with_github(GREET, &format!("longest_wait_sec = 1\n{ALWAYS}")).await;
    office.github().commits.act(Act::Limit);
    let run = office.start(json!({})).await;
    office.until_logged(&run, "\"type\":\"parked\"").await;
    office.ends(&run, "pull request").await;
    is_proposed_once(&office);
    assert_eq!(office.github().commits.asked(), 2);
}
