//! What is pushed, and what is not.

use super::lab::{GREET, Lab, Plan, Played};
use super::project::git;
use crate::peers::http_backend::Behaviour;

/// The model does not take back what may not be pushed.
const KEPT: &str = "[[replies]]\nexpect = { user_contains = [\"cannot be published\"] }\n\
    steps = [{ text = \"Keep it\" }]\n";

async fn bash(command: &str) -> (Lab, Played) {
    let script = format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"bash\", arguments = {{ command = '{command}' }} }} }}]\n\
         [[replies]]\nexpect = {{ results_are_errors = false }}\nsteps = [{{ text = \"Change it\" }}]\n{KEPT}{KEPT}"
    );
    let lab = Lab::start(Plan {
        script: &script,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    (lab, played)
}

async fn is_refused(lab: &Lab, played: &Played, reason: &str) {
    played.ended("patch only");
    let summary = played.summary();
    assert!(summary.contains(reason), "{summary}");
    assert_eq!(lab.branches(), [""; 0]);
    assert!(lab.patch(&played.id).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changed_is_no_failure() {
    let (lab, played) = bash("cat README.md; touch src/greeting.txt").await;
    played.ended("no changes");
    assert_eq!(played.summary(), "Change it");
    assert_eq!(lab.branches(), [""; 0]);
    assert_eq!(lab.patch(&played.id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_not_pushed() {
    let (lab, played) =
        bash("mkdir -p .github/workflows; echo on: push > .github/workflows/x.yml").await;
    is_refused(&lab, &played, ".github/workflows/x.yml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leaves_the_tree_is_not_pushed() {
    let (lab, played) = bash("ln -s /etc/passwd src/accounts").await;
    is_refused(&lab, &played, "src/accounts").await;
}

/// The token is made of two parts, so that this file holds none.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_pushed_goes_back_to_the_model() {
    let lab = Lab::start(Plan {
        script: r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "printf 'KEY = \"%s%s\"\n' gh p_wTz4Kq9LmX2vBn7RsYd1Fc8JhG5pQa3UeZ0o > config.py" } } }]
[[replies]]
steps = [{ text = "Add a key" }]
[[replies]]
expect = { user_contains = ["`config.py` seems to hold a secret: line 1 (a GitHub token)"] }
steps = [{ tool_call = { name = "write", arguments = { path = "config.py", content = "import os\n\nKEY = os.environ[\"KEY\"]\n" } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Read the key from the environment" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(played.summary(), "Read the key from the environment");
    assert_eq!(lab.pushed_paths(), "A\tconfig.py\n");
    assert!(lab.pushed_file("config.py").contains("os.environ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_stays_is_not_pushed() {
    let (lab, played) =
        bash("printf \"TOKEN=%s%s\" gh p_wTz4Kq9LmX2vBn7RsYd1Fc8JhG5pQa3UeZ0o > .env").await;
    is_refused(&lab, &played, "`.env` seems to hold a secret: line 1").await;
}

/// Any variable that a row names will do, and this one has a value everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_server_is_not_pushed() {
    let value = std::env::var("PATH").expect("a path");
    let script = format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"write\", arguments = {{ path = \"notes.txt\", content = \
         'it is {value}' }} }} }}]\n[[replies]]\nsteps = [{{ text = \"Note it\" }}]\n{KEPT}{KEPT}"
    );
    let lab = Lab::start(Plan {
        script: &script,
        config: "[providers.other]\nwire_api = \"anthropic_messages\"\nmodel = \"m\"\nenv_key = \"PATH\"\n",
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    is_refused(
        &lab,
        &played,
        "`notes.txt` holds the value of `PATH` in line 1",
    )
    .await;
    let patch = lab.patch(&played.id).await.expect("a patch");
    assert!(!patch.contains(&value), "{patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wrote_is_pushed_and_said() {
    let (lab, played) = bash("mkdir node_modules && echo x > node_modules/a.js").await;
    played.ended("branch only");
    let told = "1 changed file looks generated or left behind by mistake: `node_modules/a.js`";
    assert!(played.text.contains(told), "{}", played.text);
    assert_eq!(lab.pushed_paths(), "A\tnode_modules/a.js\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_protects_is_not_pushed() {
    let script = format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"write\", arguments = {{ path = \"src/greeting.txt\", \
         content = \"x\" }} }} }}]\n[[replies]]\nsteps = [{{ text = \"Change it\" }}]\n{KEPT}{KEPT}"
    );
    let lab = Lab::start(Plan {
        script: &script,
        config: "[policy]\nprotected = [\"src/**\"]\n",
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    is_refused(
        &lab,
        &played,
        "`src/greeting.txt` is protected by `[policy]` (`src/**`)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_takes_nothing_leaves_the_patch() {
    let lab = Lab::start(Plan {
        script: GREET,
        remote: Behaviour::ReadOnly,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    is_refused(&lab, &played, "").await;
    lab.applied(&played.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_nested_repository_are_files_and_it_is_said() {
    let (lab, played) = bash("git init -q inner && echo x > inner/file").await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "A\tinner/file\n");
    assert!(played.text.contains("inner"), "{}", played.text);
}

const SUBMODULE: &str = "160000,1234567890123456789012345678901234567890,vendor";

fn add_submodule(folder: &std::path::Path) {
    let project = folder.join("project");
    git(
        &project,
        &["update-index", "--add", "--cacheinfo", SUBMODULE],
    );
    git(&project, &["commit", "--quiet", "--message", "Vendor"]);
    let remote = folder.join("remotes/owner/project.git");
    git(
        &project,
        &["push", "--quiet", remote.to_str().expect("UTF-8"), "main"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_stays_as_it_is() {
    let plan = Plan {
        script: GREET,
        ..Plan::default()
    };
    let lab = Lab::start_with(plan, add_submodule).await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_that_becomes_a_file_is_not_pushed() {
    let script = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "rm -rf vendor && echo x > vendor" } } }]
[[replies]]
steps = [{ text = "Change it" }]
"#;
    let script = [script, KEPT, KEPT].concat();
    let plan = Plan {
        script: &script,
        ..Plan::default()
    };
    let lab = Lab::start_with(plan, add_submodule).await;
    let played = lab.run().await;
    is_refused(&lab, &played, "submodule").await;
}
