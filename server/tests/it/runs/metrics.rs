//! What a server counts of its runs.

use super::lab::{GREET, Lab, Plan};
use crate::support::in_time;

/// What is counted of runs once none is under way: a client may hear of an end before it is counted.
async fn counted(lab: &Lab) -> String {
    let counting = async {
        loop {
            let text = lab.text("/metrics").await;
            let none = |name| value(&text, name) == Some("0");
            if none("pullwright_runs_active ") && none("pullwright_followers ") {
                return text;
            }
        }
    };
    in_time(counting).await
}

fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.map(str::trim)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_counted_by_how_they_went() {
    let script = GREET.replacen(
        "steps = [{ text",
        "steps = [{ usage = { input_tokens = 30, cached_tokens = 10, output_tokens = 5 } }, { text",
        1,
    );
    let lab = Lab::start(Plan {
        script: &script,
        config: "[checks]\nrun = [\"grep -q h src/greeting.txt\"]\n",
        ..Plan::default()
    })
    .await;
    let before = lab.text("/metrics").await;
    assert_eq!(value(&before, "pullwright_runs_active "), Some("0"));
    assert!(before.ends_with("# EOF\n"), "{before}");
    lab.run().await.ended("branch only");
    let text = counted(&lab).await;
    for (name, expected) in [
        ("pullwright_runs_active ", "0"),
        ("pullwright_followers ", "0"),
        (
            "pullwright_runs_total{outcome=\"branch_only\",failure=\"\"} ",
            "1",
        ),
        (
            "pullwright_run_seconds_count{outcome=\"branch_only\",failure=\"\"} ",
            "1",
        ),
        ("pullwright_stage_seconds_count{stage=\"clone\"} ", "1"),
        ("pullwright_stage_seconds_count{stage=\"publish\"} ", "1"),
        (
            "pullwright_model_replies_total{provider=\"script\",model=\"scripted\"} ",
            "2",
        ),
        (
            "pullwright_model_tokens_total{provider=\"script\",model=\"scripted\",kind=\"cached\"} ",
            "10",
        ),
        (
            "pullwright_tool_calls_total{server=\"fs\",is_error=\"false\"} ",
            "1",
        ),
        ("pullwright_sandboxes_total{kind=\"local\"} ", "2"),
        (
            "pullwright_checks_total{phase=\"before\",passed=\"true\"} ",
            "1",
        ),
        (
            "pullwright_checks_total{phase=\"after\",passed=\"true\"} ",
            "1",
        ),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}: {text}");
    }
    let commits = value(&text, "pullwright_store_commit_seconds_count ").unwrap();
    assert!(commits.parse::<u64>().unwrap() > 3, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_its_kind_and_every_retry_counts() {
    let script = "[[replies]]\nsteps = [{ fault = { kind = \"overloaded\", attempts = 2 } }, \
                  { fault = { kind = \"invalid_request\" } }]\n";
    let lab = Lab::start(Plan {
        script,
        ..Plan::default()
    })
    .await;
    lab.run().await.ended("failed(provider_request)");
    let text = counted(&lab).await;
    for (name, expected) in [
        (
            "pullwright_runs_total{outcome=\"failed\",failure=\"provider_request\"} ",
            "1",
        ),
        (
            "pullwright_errors_total{kind=\"overloaded\",retrying=\"true\"} ",
            "2",
        ),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}: {text}");
    }
}
