//! A message to a run that has ended: another one goes on with its change and its conversation.

pub(crate) mod commits;
pub(crate) mod github;
pub(crate) mod office;
mod proposals;
mod rules;
pub(crate) mod talk;

use reqwest::StatusCode;
use serde_json::json;

use office::Office;

/// A model that makes one edit, and another one when it is told more. What it has said must come back as it
/// was said.
const TWICE: &str = r#"
verify_replay = true
[[replies]]
steps = [
  { thinking = "one word is enough" },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } },
]
[[replies]]
steps = [{ text = "Greet shortly\n\nOne word." }]
[[replies]]
expect = { user_contains = ["Greet shortly", "and say it twice"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Greet twice\n\nAs asked." }]
"#;

const CHECKS: &str = "[checks]\nrun = [\"test -s src/greeting.txt\"]\n";

/// [`TWICE`], where the second task has these words in it.
fn twice_if_told(words: &str) -> String {
    TWICE.replace("\"Greet shortly\"", &format!("{words:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_commit_is_put_on_the_same_pull_request() {
    let script = twice_if_told("which is proposed as http://github.example/owner/project/pull/1");
    let office = Office::with_github(&script, CHECKS).await;
    let run = office.run("pull request").await;
    let branch = office.branch();
    let first = office.git(&["rev-parse", &branch]);
    let follower = office
        .follow(&run, "and say it twice", "pull request")
        .await;
    assert_eq!(office.branch(), branch);
    assert_eq!(office.commits(&branch), ["Greet shortly", "Greet twice"]);
    assert_eq!(office.git(&["rev-parse", &format!("{branch}^")]), first);
    assert_eq!(office.greeting(&branch), "hi hi");
    let pulls = office.github.as_ref().expect("a GitHub").pulls();
    let [pull] = &pulls[..] else {
        panic!("{pulls:#?}");
    };
    assert_eq!(pull["title"], "Greet shortly");
    assert_eq!(pull["base"]["ref"], "main");
    let body = pull["body"].as_str().expect("a body");
    assert_eq!(body.matches("### Checks").count(), 1, "{body}");
    let tree = office.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    for part in ["One word.", "Greet twice", "As asked.", &tree] {
        assert!(body.contains(part), "{part}: {body}");
    }
    let record = office.record(&follower).await;
    assert_eq!(record["request"]["follows"], json!(run));
    assert_eq!(record["request"]["prompt"], "and say it twice");
    let shown = office.pullwright(&["runs", "show", &follower]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains(&format!("goes on with the change of run {run}")),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_pushed_meanwhile_is_built_upon() {
    let office = Office::plain(&twice_if_told("Somebody has pushed to it since")).await;
    let run = office.run("branch only").await;
    let branch = office.branch();
    office.commit_as_a_person(&branch, "mine.txt");
    office.follow(&run, "and say it twice", "branch only").await;
    let commits = ["Greet shortly", "By a person", "Greet twice"];
    assert_eq!(office.commits(&branch), commits);
    assert_eq!(office.git(&["show", &format!("{branch}:mine.txt")]), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_push_while_it_works_is_left_alone_and_then_built_upon() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "echo hi hi > src/greeting.txt; until [ -e go ]; do sleep 0.05; done; rm go", timeout_sec = 100 } } }]
[[replies]]
steps = [{ text = "Greet twice" }]
[[replies]]
expect = { user_contains = ["somebody pushed to branch", "were not pushed are in it"] }
steps = [{ tool_call = { name = "bash", arguments = { command = "cat src/greeting.txt mine.txt" } } }]
[[replies]]
expect = { results_contain = ["hi hi\nmine"] }
steps = [{ text = "Greet twice after all" }]
"#;
    let office = Office::plain(script).await;
    let run = office.run("branch only").await;
    let branch = office.branch();
    let follower = office.begin_to_follow(&run, "say it twice").await;
    office.until_told(&follower, "starts to work").await;
    office.commit_as_a_person(&branch, "mine.txt");
    let go = office.desk.path.join("data/runs").join(&follower);
    std::fs::write(go.join("workspace/go"), "").expect("let it go on");
    office.ends(&follower, "failed(push)").await;
    assert_eq!(office.commits(&branch), ["Greet shortly", "By a person"]);
    office.follow(&run, "try again", "branch only").await;
    let commits = ["Greet shortly", "By a person", "Greet twice after all"];
    assert_eq!(office.commits(&branch), commits);
    assert_eq!(office.greeting(&branch), "hi hi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_change_is_followed_by_one_of_its_own() {
    let script =
        twice_if_told("is not open any more").replace("old_str = \"hi\"", "old_str = \"hello\"");
    let office = Office::with_github(&script, CHECKS).await;
    let run = office.run("pull request").await;
    let branch = office.branch();
    office.github.as_ref().expect("a GitHub").merge();
    let follower = office
        .follow(&run, "and say it twice", "pull request")
        .await;
    let pulls = office.github.as_ref().expect("a GitHub").pulls();
    assert_eq!(pulls.len(), 2, "{pulls:#?}");
    assert_eq!(pulls[1]["title"], "Greet twice");
    assert_eq!(pulls[1]["base"]["ref"], "main");
    let other = pulls[1]["head"]["ref"].as_str().expect("a branch");
    assert_ne!(other, branch);
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    assert_eq!(office.commits(other), ["Greet twice"]);
    let told = office.ends(&follower, "pull request").await;
    assert!(told.contains("becomes a change of its own"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_gone_is_followed_by_another() {
    let script =
        twice_if_told("is not there any more").replace("old_str = \"hi\"", "old_str = \"hello\"");
    let office = Office::plain(&script).await;
    let run = office.start(json!({ "branch": "greet" })).await;
    office.ends(&run, "branch only").await;
    assert_eq!(office.branch(), "greet");
    office.git(&["update-ref", "-d", "refs/heads/greet"]);
    office.follow(&run, "and say it twice", "branch only").await;
    let branch = office.branch();
    assert_ne!(branch, "greet");
    assert_eq!(office.commits(&branch), ["Greet twice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_people_merge_it_into_is_their_choice() {
    let office = Office::with_github(TWICE, CHECKS).await;
    let run = office.run("pull request").await;
    let github = office.github.as_ref().expect("a GitHub");
    github.retarget("release");
    let follower = office
        .follow(&run, "and say it twice", "pull request")
        .await;
    assert_eq!(github.pulls()[0]["base"]["ref"], "release");
    office.until_logged(&follower, "\"base\":\"release\"").await;
}

/// The branch is there, and the model has nothing to add.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_could_not_be_opened_is_opened_when_it_is_tried_again() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly\n\nOne word." }]
[[replies]]
expect = { user_contains = ["not accessible", "try again"] }
steps = [{ text = "All is done already" }]
[[replies]]
steps = [{ text = "Nothing to do" }]
"#;
    let office = Office::with_github(script, CHECKS).await;
    let github = office.github.as_ref().expect("a GitHub");
    github.opens(false);
    let run = office.run("failed(forge)").await;
    let branch = office.branch();
    github.opens(true);
    let second = office.follow(&run, "try again", "pull request").await;
    assert_eq!(office.commits(&branch), ["Greet shortly"]);
    let pulls = github.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert_eq!(pulls[0]["title"], "Greet shortly");
    assert_eq!(pulls[0]["head"]["ref"], json!(branch));
    let body = pulls[0]["body"].as_str().expect("a body");
    for part in ["One word.", "test -s src/greeting.txt", "passed | passed"] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(!body.contains("not accessible"), "{body}");
    assert_eq!(office.record(&second).await["outcome"], "pull request");
    office.follow(&run, "and now?", "no changes").await;
}

/// What its first commit broke, the whole breaks, until a later one mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_several_commits_is_compared_with_what_was_before_all() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "HELLO" } } }]
[[replies]]
steps = [{ text = "Shout" }]
[[replies]]
steps = [{ tool_call = { name = "write", arguments = { path = "src/more.txt", content = "more\n" } } }]
[[replies]]
steps = [{ text = "Say more" }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "HELLO", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Shout no more" }]
"#;
    let checks = "[checks]\nmax_repairs = 0\nrun = [\"! grep -q HELLO src/greeting.txt\"]\n";
    let office = Office::with_github(script, checks).await;
    let github = office.github.as_ref().expect("a GitHub");
    let body = || {
        github.pulls()[0]["body"]
            .as_str()
            .expect("a body")
            .to_owned()
    };
    let run = office.run("pull request").await;
    assert_eq!(github.pulls()[0]["draft"], true);
    let second = office.follow(&run, "say more", "pull request").await;
    assert!(
        body().contains("passed | failed (exit code 1)"),
        "{}",
        body()
    );
    let told = office.ends(&second, "pull request").await;
    assert!(told.contains("breaks checks that passed before"), "{told}");
    office.follow(&run, "do not shout", "pull request").await;
    let body = body();
    assert!(body.contains("passed | passed"), "{body}");
    assert!(!body.contains("breaks checks"), "{body}");
}

/// The branch that was asked for holds what was merged.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_used_is_not_used_anew() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi hi" } } }]
[[replies]]
steps = [{ text = "Greet twice" }]
"#;
    let office = Office::with_github(script, CHECKS).await;
    let run = office.start(json!({ "branch": "greet" })).await;
    office.ends(&run, "pull request").await;
    office.github.as_ref().expect("a GitHub").merge();
    let second = office.begin_to_follow(&run, "say it twice").await;
    office.until_logged(&second, "\"tool\":\"bash\"").await;
    office.cancel(&second).await;
    office.ends(&second, "cancelled").await;
    office.follow(&run, "go on", "pull request").await;
    assert_eq!(office.commits("greet"), ["Greet shortly"]);
    assert_eq!(office.branches().len(), 2);
}

/// It was cancelled in the middle of a call.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_was_not_pushed_is_gone_on_with() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { results_contain = ["interrupted"], user_contains = ["were not pushed are in it", "be quick"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Greet twice" }]
"#;
    let office = Office::with_github(script, CHECKS).await;
    let run = office.start(json!({ "branch": "greet" })).await;
    office.until_logged(&run, "\"tool\":\"bash\"").await;
    office.cancel(&run).await;
    office.ends(&run, "cancelled").await;
    assert_eq!(office.branches(), [""; 0]);
    office.follow(&run, "be quick", "pull request").await;
    assert_eq!(office.branch(), "greet");
    assert_eq!(office.commits("greet"), ["Greet twice"]);
    assert_eq!(office.greeting("greet"), "hi hi");
}

/// What is said to the first of them goes to the last, and one that changed nothing breaks no line.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_follows_is_followed() {
    let script = format!(
        "{TWICE}{}",
        r#"
[[replies]]
expect = { user_contains = ["why?"] }
steps = [{ text = "Since you asked." }]
[[replies]]
expect = { user_contains = ["and say it twice", "thrice"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi hi", new_str = "hi hi hi" } } }]
[[replies]]
steps = [{ text = "Greet thrice" }]
"#
    );
    let script = script.replace("\"Greet shortly\", ", "");
    let office = Office::with_github(&script, CHECKS).await;
    let first = office.run("pull request").await;
    let second = office
        .follow(&first, "and say it twice", "pull request")
        .await;
    let third = office.follow(&first, "why?", "no changes").await;
    let fourth = office.follow(&second, "thrice", "pull request").await;
    for (run, followed) in [(&third, &second), (&fourth, &third)] {
        let record = office.record(run).await;
        assert_eq!(record["request"]["follows"], json!(followed));
    }
    let branch = office.branch();
    let commits = ["Greet shortly", "Greet twice", "Greet thrice"];
    assert_eq!(office.commits(&branch), commits);
    assert_eq!(office.greeting(&branch), "hi hi hi");
    let pulls = office.github.as_ref().expect("a GitHub").pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    let body = pulls[0]["body"].as_str().expect("a body");
    let places = commits[1..].iter().map(|title| body.find(title));
    let places: Vec<_> = places.map(|place| place.expect(body)).collect();
    assert!(places.is_sorted(), "{body}");
}

/// Its model was asked nothing, so the task is still to be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_began_is_followed_from_its_task() {
    let script = r##"
[[replies]]
expect = { user_contains = ["# Task\nGreet shortly", "has no branch `next`", "it is there now"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"##;
    let office = Office::plain(script).await;
    let run = office.start(json!({ "baseBranch": "next" })).await;
    office.ends(&run, "failed(repository)").await;
    let again = office.follow(&run, "try again", "failed(repository)").await;
    office.git(&["branch", "next", "main"]);
    office
        .follow(&again, "it is there now", "branch only")
        .await;
    office.git(&["branch", "-D", "next"]);
    assert_eq!(office.commits(&office.branch()), ["Greet shortly"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_its_server() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { results_contain = ["interrupted"], user_contains = ["The server was restarted", "say it twice"] }
steps = [{ text = "Greet twice" }]
"#;
    let mut office = Office::with_github(script, CHECKS).await;
    let run = office.run("pull request").await;
    let follower = office.begin_to_follow(&run, "say it twice").await;
    office.until_logged(&follower, "\"tool\":\"bash\"").await;
    office.kill_and_serve();
    office.ends(&follower, "pull request").await;
    let branch = office.branch();
    assert_eq!(office.commits(&branch), ["Greet shortly", "Greet twice"]);
    assert_eq!(office.greeting(&branch), "hi hi");
    let pulls = office.github.as_ref().expect("a GitHub").pulls();
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_fit_any_more_is_told() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { user_contains = ["do not fit the files as they are now"] }
steps = [{ tool_call = { name = "bash", arguments = { command = "cat src/greeting.txt; echo mine mine > src/greeting.txt" } } }]
[[replies]]
expect = { results_contain = ["mine"], results_lack = ["hi"] }
steps = [{ text = "Greet twice" }]
"#;
    let office = Office::plain(script).await;
    let run = office.run("branch only").await;
    let branch = office.branch();
    let follower = office.begin_to_follow(&run, "say it twice").await;
    office.until_logged(&follower, "\"tool\":\"bash\"").await;
    office.cancel(&follower).await;
    office.ends(&follower, "cancelled").await;
    office.commit_as_a_person(&branch, "src/greeting.txt");
    let last = office.follow(&run, "go on", "branch only").await;
    let told = office.ends(&last, "branch only").await;
    assert!(
        told.contains("the work that was kept cannot be used"),
        "{told}"
    );
    assert_eq!(office.greeting(&branch), "mine mine");
}

/// Reasoning is bound to the tools that were offered with it.
#[tokio::test(flavor = "multi_thread")]
async fn with_other_tools_it_goes_on_without_the_reasoning() {
    let mut office = Office::plain(&TWICE.replace("verify_replay = true", "")).await;
    let run = office.run("branch only").await;
    let config = office.desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let fewer = text.replace("[tools.git]\nbuiltin = \"git\"\n", "");
    assert_ne!(fewer, text);
    std::fs::write(&config, fewer).expect("write the configuration");
    office.kill_and_serve();
    let follower = office.follow(&run, "and say it twice", "branch only").await;
    office
        .until_logged(&follower, "\"beginning\":\"followed_without_reasoning\"")
        .await;
    assert_eq!(office.greeting(&office.branch()), "hi hi");
}

/// What was asked for last outlives a conversation that becomes too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_becomes_too_long_keeps_what_was_asked() {
    let script = r##"
context_tokens = 24000
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' a; echo hi > src/greeting.txt" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' b" } } }]
[[replies]]
expect = { user_contains = ["Write down everything"] }
steps = [{ text = "NOTES: it is in src/greeting.txt" }]
[[episodes]]
user_contains = "NOTES: it is"
[[episodes.replies]]
expect = { user_contains = ["# Task", "and say it twice, word for word"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "hi hi" } } }]
[[episodes.replies]]
steps = [{ text = "Greet twice" }]
"##;
    let office = Office::plain(script).await;
    let run = office.run("branch only").await;
    office
        .follow(&run, "and say it twice, word for word", "branch only")
        .await;
    assert_eq!(office.greeting(&office.branch()), "hi hi");
}

/// The conversation goes on with another model, which gets no reasoning of the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_is_replaced() {
    let mut office = Office::plain(&TWICE.replace("verify_replay = true", "")).await;
    let run = office.start(json!({ "provider": "script" })).await;
    office.ends(&run, "branch only").await;
    let config = office.desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let text = text.replace("provider = \"script\"", "provider = \"other\"");
    let text = text.replace("[providers.script]", "[providers.other]");
    std::fs::write(&config, text).expect("write the configuration");
    office.kill_and_serve();
    let follower = office.follow(&run, "and say it twice", "branch only").await;
    let commits = ["Greet shortly", "Greet twice"];
    assert_eq!(office.commits(&office.branch()), commits);
    let record = office.record(&follower).await;
    assert_eq!(record["request"].get("provider"), None, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_it_works_goes_to_the_one_that_follows() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "until [ -e go ]; do sleep 0.05; done; rm go", timeout_sec = 100 } } }]
[[replies]]
expect = { user_contains = ["say it twice", "while you are at it", "loudly"] }
steps = [{ tool_call = { name = "bash", arguments = { command = "echo HI HI > src/greeting.txt" } } }]
[[replies]]
steps = [{ text = "Greet loudly" }]
"#;
    let office = Office::plain(script).await;
    let run = office.run("branch only").await;
    let follower = office.begin_to_follow(&run, "say it twice").await;
    office.until_told(&follower, "starts to work").await;
    let (status, answer) = office.say(&run, "loudly").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(answer["id"], json!(follower));
    assert!(answer["number"].is_number(), "{answer}");
    let workspace = office.desk.path.join("data/runs").join(&follower);
    std::fs::write(workspace.join("workspace/go"), "").expect("let it go on");
    office.ends(&follower, "branch only").await;
    assert_eq!(office.greeting(&office.branch()), "HI HI");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_a_run_followed() {
    let office = Office::plain(&TWICE.replace("\"Greet shortly\", ", "")).await;
    let run = office.run("branch only").await;
    let said = office.pullwright(&["runs", "say", &run, "and say it twice"]);
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stdout).expect("UTF-8");
    let (_, follower) = said.split_once("runs tail ").expect(&said);
    let follower = follower.split('`').next().expect(&said);
    office.ends(follower, "branch only").await;
    let commits = ["Greet shortly", "Greet twice"];
    assert_eq!(office.commits(&office.branch()), commits);
    let replayed = office.pullwright(&["replay", follower]);
    let complaint = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(!replayed.status.success(), "{complaint}");
    assert!(
        complaint.contains(&format!("follows run {run}")),
        "{complaint}"
    );
}
