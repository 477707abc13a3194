//! Checks: what the change broke goes back to the model, and what checks leave behind stays out.

use super::lab::{Lab, Plan};

const NO_SHOUTING: &str = "[checks]\nrun = [\"! grep -q HELLO src/greeting.txt\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_check_goes_back_to_the_model() {
    let lab = Lab::start(Plan {
        config: NO_SHOUTING,
        script: r#"
[[replies]]
steps = [
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "HELLO" } } },
  { tool_call = { name = "bash", arguments = { command = "mkdir -p ignored && echo x > ignored/cache" } } },
]
[[replies]]
steps = [{ text = "Shout" }]
[[replies]]
expect = { user_contains = ["! grep -q HELLO src/greeting.txt"] }
steps = [
  { tool_call = { name = "bash", arguments = { command = "ls -A; cat src/greeting.txt" } } },
]
[[replies]]
expect = { results_contain = ["HELLO"], results_lack = ["ignored\n"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "HELLO", new_str = "good day" } } }]
[[replies]]
expect = { results_are_errors = false }
steps = [{ text = "Greet by day" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(
        codes(&played.of("Check")),
        ["before 0", "after 1", "after 0"]
    );
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\n");
    assert_eq!(lab.pushed_file("src/greeting.txt"), "good day\n");
    assert_eq!(played.summary(), "Greet by day");
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_are_bounded_and_the_evidence_says_what_stays_broken() {
    let lab = Lab::start(Plan {
        config: "[checks]\nmax_repairs = 1\nrun = [\"! grep -q HELLO src/greeting.txt\"]\n",
        script: r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "HELLO" } } }]
[[replies]]
steps = [{ text = "Shout" }]
[[replies]]
steps = [{ text = "Shout, and that is right" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(
        codes(&played.of("Check")),
        ["before 0", "after 1", "after 1"]
    );
    assert_eq!(lab.pushed_file("src/greeting.txt"), "HELLO\n");
    let summary = played.summary();
    assert!(
        summary.contains("breaks checks") && summary.contains("! grep"),
        "{summary}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_setup_and_checks_are_not_in_the_change() {
    let lab = Lab::start(Plan {
        config: r#"
[setup]
run = ["echo installed > installed.txt; echo touched >> README.md"]
[checks]
run = ["echo $$ > report.txt; mkdir -p out; echo x > out/log; echo checked >> README.md; ! grep -q HELLO src/greeting.txt"]
"#,
        script: r#"
[[replies]]
steps = [
  { tool_call = { name = "bash", arguments = { command = "cat README.md" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "HELLO" } } },
]
[[replies]]
expect = { results_lack = ["touched", "checked"] }
steps = [{ text = "Shout" }]
[[replies]]
steps = [
  { tool_call = { name = "bash", arguments = { command = "cat README.md" } } },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "HELLO", new_str = "hi" } } },
  { tool_call = { name = "write", arguments = { path = "src/new.txt", content = "new\n" } } },
]
[[replies]]
expect = { results_lack = ["touched", "checked"], results_are_errors = false }
steps = [{ text = "Greet shortly" }]
"#,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(
        codes(&played.of("Check")),
        ["before 0", "after 1", "after 0"]
    );
    assert_eq!(lab.pushed_paths(), "M\tsrc/greeting.txt\nA\tsrc/new.txt\n");
    assert_eq!(lab.pushed_file("README.md"), "# Sample\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_failed_before_is_not_the_model_s_to_mend() {
    let lab = Lab::start(Plan {
        config: "[checks]\nrun = [\"exit 3\"]\n",
        script: super::lab::GREET,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    played.ended("branch only");
    assert_eq!(codes(&played.of("Check")), ["before 3", "after 3"]);
}

fn codes(checks: &[&serde_json::Value]) -> Vec<String> {
    let code = |check: &&serde_json::Value| {
        let phase = check["phase"].as_str().expect("a phase");
        format!("{phase} {}", check["exitCode"])
    };
    checks.iter().map(code).collect()
}
