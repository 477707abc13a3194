//! How a change is proposed to a GitHub: from a fork, in the repository's form, with labels and people.

use serde_json::json;

use super::office::Office;
use super::{CHECKS, twice_if_told};

const GREET: &str = crate::runs::lab::GREET;

const FORKS: &str = "[repositories]\nHOSTS_HERE\npublish = \"fork\"\n";

/// What the fork has beside `main`.
pub(super) fn fork_branches(office: &Office) -> Vec<String> {
    let fork = office.desk.path.join("remotes/robot/project.git");
    let heads = ["for-each-ref", "--format=%(refname:short)", "refs/heads"];
    let heads = crate::runs::project::git(&fork, &heads);
    let heads = heads.lines().filter(|name| *name != "main");
    heads.map(str::to_owned).collect()
}

pub(super) fn told<'t>(stream: &'t str, words: &str) -> Option<&'t str> {
    stream.lines().find(|line| line.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_push_proposes_from_a_fork_that_is_made_first() {
    let office = Office::with_github(GREET, CHECKS).await;
    office.github().lets_push(false);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    let said = told(&stream, "will be proposed from the fork robot/project").expect(&stream);
    let started = told(&stream, "starts to work").expect(&stream);
    assert!(
        stream.find(said) < stream.find(started),
        "before anything is paid for: {stream}"
    );
    assert_eq!(office.branches(), [""; 0]);
    let branches = fork_branches(&office);
    let pulls = office.github().pulls();
    let ([branch], [pull]) = (&branches[..], &pulls[..]) else {
        panic!("{branches:?} {pulls:#?}");
    };
    assert_eq!(pull["head"]["ref"], json!(branch));
    assert_eq!(pull["head"]["repo"]["full_name"], "robot/project");
    assert_eq!(office.github().forks_made(), 1);
    let again = office.run("pull request").await;
    assert_ne!(again, run);
    assert_eq!(office.github().forks_made(), 1, "the fork is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_used_by_choice_and_followed_there() {
    let script = twice_if_told("which is proposed as http://github.example/owner/project/pull/1");
    let office = Office::with_github(&script, &format!("{CHECKS}{FORKS}")).await;
    let run = office.run("pull request").await;
    office
        .follow(&run, "and say it twice", "pull request")
        .await;
    assert_eq!(
        office.branches(),
        [""; 0],
        "nothing runs with the secrets of the repository"
    );
    let branches = fork_branches(&office);
    let [branch] = &branches[..] else {
        panic!("{branches:?}");
    };
    let fork = office.desk.path.join("remotes/robot/project.git");
    let log = [
        "log",
        "--reverse",
        "--format=%s",
        &format!("main..{branch}"),
    ];
    let log = crate::runs::project::git(&fork, &log);
    assert_eq!(log, "Greet shortly\nGreet twice\n");
    let pulls = office.github().pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert!(
        pulls[0]["body"]
            .as_str()
            .is_some_and(|body| body.contains("As asked."))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_neither_push_nor_fork_says_so_before_it_works() {
    let office = Office::with_github(GREET, "").await;
    office.github().lets_push(false);
    office.github().lets_fork(false);
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "patch only").await;
    let said = told(&stream, "this run cannot push").expect(&stream);
    assert!(said.contains("allows no forks"), "{said}");
    let started = told(&stream, "starts to work").expect(&stream);
    assert!(stream.find(said) < stream.find(started), "{stream}");
    assert!(office.github().pulls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_may_be_all_that_is_wanted() {
    let office = Office::with_github(GREET, "").await;
    office.github().lets_push(false);
    let run = office.start(json!({ "publish": "branch" })).await;
    let stream = office.ends(&run, "patch only").await;
    let done = told(&stream, "\"type\":\"Done\"").expect(&stream);
    assert!(done.contains("cannot push to owner/project"), "{done}");
    assert_eq!(office.github().forks_made(), 0);
}

/// It was on a branch of the repository before forks alone were pushed to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_became_more_careful_leaves_the_branch_alone() {
    let script = twice_if_told("only forks are pushed to now")
        .replace("old_str = \"hi\"", "old_str = \"hello\"");
    let mut office = Office::with_github(&script, "[repositories]\nHOSTS_HERE\n").await;
    let run = office.run("pull request").await;
    let branch = office.branch();
    let config = office.desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let careful = text.replace("[repositories]\n", "[repositories]\npublish = \"fork\"\n");
    std::fs::write(&config, careful).expect("write");
    office.kill_and_serve();
    office
        .follow(&run, "and say it twice", "pull request")
        .await;
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert_eq!(fork_branches(&office).len(), 1);
}

const DETAILS: &str = r#"
[pull_request]
draft = true
labels = ["bot", "nonsense"]
reviewers = ["ann"]
assignees = ["bob"]
[commit]
name = "A Robot"
email = "robot@example.com"
co_authors = ["Ann Other <ann@example.com>"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_has_its_form_and_its_people() {
    let office = Office::with_github(&twice_if_told("Greet shortly"), DETAILS).await;
    office.commit_as_a_person_at(
        "main",
        ".github/Pull_Request_Template.md",
        "## Description\n\n## Checklist\n- [ ] Tests\n",
    );
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    assert!(stream.contains("there is no label `nonsense`"), "{stream}");
    let pull = office.github().pulls().remove(0);
    assert_eq!(pull["draft"], true);
    assert_eq!(pull["labels"], json!(["bot"]));
    assert_eq!(pull["reviewers"], json!(["ann"]));
    assert_eq!(pull["assignees"], json!(["bob"]));
    let body = pull["body"].as_str().expect("a body");
    assert!(
        body.starts_with("## Description\n\n<!-- pullwright:begin -->"),
        "{body}"
    );
    assert!(
        body.contains(&format!("<!-- pullwright:run {run} -->")),
        "{body}"
    );
    assert!(
        body.contains(&format!("pullwright runs say {run}")),
        "{body}"
    );
    assert!(body.ends_with("## Checklist\n- [ ] Tests\n"), "{body}");
    let branch = office.branch();
    let commit = office.git(&["log", "-1", "--format=%an <%ae>%n%cn%n%(trailers)", &branch]);
    let expected =
        "A Robot <robot@example.com>\nA Robot\nCo-authored-by: Ann Other <ann@example.com>";
    assert_eq!(commit, expected);
    // People have taken them away; a follow-up does not bring them back.
    office.github().undress();
    office
        .follow(&run, "and say it twice", "pull request")
        .await;
    let pull = office.github().pulls().remove(0);
    assert_eq!(pull.get("labels"), None, "{pull:#}");
    let body = pull["body"].as_str().expect("a body");
    assert!(
        body.contains("As asked.") && body.contains("- [ ] Tests"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn details_that_github_refuses_do_not_end_the_run() {
    let office = Office::with_github(GREET, DETAILS).await;
    office.github().refuses_details();
    let run = office.start(json!({})).await;
    let stream = office.ends(&run, "pull request").await;
    for words in [
        "looking for the label `bot`",
        "assigning the pull request failed",
        "asking for a review failed",
    ] {
        assert!(stream.contains(words), "{words}: {stream}");
        let done = told(&stream, "\"type\":\"Done\"").expect(&stream);
        assert!(done.contains(words), "the end says so, too: {done}");
    }
}

/// A model that waits in the middle of its change.
const SLOWLY: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo hi > src/greeting.txt; until [ -e go ]; do sleep 0.05; done; rm go", timeout_sec = 100 } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

/// A run to this end, during which somebody does something to the repository.
async fn meanwhile(office: &Office, act: impl FnOnce(&Office), outcome: &str) -> String {
    let run = office.start(json!({})).await;
    office.until_logged(&run, "\"type\":\"tool_started\"").await;
    act(office);
    let workspace = office.desk.path.join("data/runs").join(&run);
    std::fs::write(workspace.join("workspace/go"), "").expect("let it go on");
    office.ends(&run, outcome).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_the_base_is_in_the_pull_request() {
    let checks = "[checks]\nrun = [\"[ ! -e theirs.txt ] || [ ! -e mine.txt ]\", \"[ ! -e mine.txt ] || grep -q hello src/greeting.txt\"]\n";
    let office = Office::with_github(SLOWLY, checks).await;
    let their = |office: &Office| office.commit_as_a_person("main", "theirs.txt");
    meanwhile(&office, their, "pull request").await;
    let branch = office.branch();
    let main = office.git(&["rev-parse", "main"]);
    assert_eq!(office.git(&["rev-parse", &format!("{branch}^")]), main);
    let pull = office.github().pulls().remove(0);
    assert_eq!(pull["draft"], false);
    let body = pull["body"].as_str().expect("a body");
    let tree = office.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    for part in ["### Base", "was brought onto it", &tree] {
        assert!(body.contains(part), "{part}: {body}");
    }
    // The second one breaks a check where the branch has moved to.
    let mine = |office: &Office| office.commit_as_a_person("main", "mine.txt");
    let fresh = Office::with_github(SLOWLY, checks).await;
    meanwhile(&fresh, mine, "pull request").await;
    let pull = fresh.github().pulls().remove(0);
    assert_eq!(pull["draft"], true, "{pull:#}");
    let body = pull["body"].as_str().expect("a body");
    assert!(body.contains("there these checks fail"), "{body}");
    let parent = fresh.git(&["rev-parse", &format!("{}^", fresh.branch())]);
    assert_eq!(parent, fresh.git(&["rev-parse", "main^"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_a_base_is_a_branch_and_says_so() {
    let office = Office::with_github(SLOWLY, "").await;
    let gone = |office: &Office| {
        office.git(&["update-ref", "-d", "refs/heads/main"]);
    };
    let stream = meanwhile(&office, gone, "branch only").await;
    assert!(stream.contains("is not there any more"), "{stream}");
    assert_eq!(office.branches().len(), 1);
    assert!(office.github().pulls().is_empty());
}
