//! The demo's job over HTTP.

use serde_json::Value;

use super::lab::{Lab, Plan, Played};
use super::redact::{redact, redact_text};

const PROJECT: &[(&str, &str)] = &[
    (
        "tally*",
        include_str!("../../../../examples/demo/project/tally"),
    ),
    (
        "lib/words.sh",
        include_str!("../../../../examples/demo/project/lib/words.sh"),
    ),
    (
        "tests/run.sh",
        include_str!("../../../../examples/demo/project/tests/run.sh"),
    ),
    (
        "README.md",
        include_str!("../../../../examples/demo/project/README.md"),
    ),
    (
        "AGENTS.md",
        include_str!("../../../../examples/demo/project/AGENTS.md"),
    ),
];

const PLAN: Plan<'_> = Plan {
    files: PROJECT,
    script: include_str!("../../../../examples/demo/script.toml"),
    config: "[checks]\nrun = [\"sh tests/run.sh\"]\n",
    beside: &[],
    remote: crate::peers::http_backend::Behaviour::Open,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_becomes_a_checked_branch() {
    let lab = Lab::start(PLAN).await;
    let played = lab.run().await;
    played.ended("branch only");
    insta::assert_snapshot!("the_demo_s_stream", shown(&lab, &played));
    assert_eq!(
        lab.pushed_paths(),
        "M\tREADME.md\nM\tlib/words.sh\nM\ttally\nM\ttests/run.sh\n"
    );
    assert!(lab.pushed_file("lib/words.sh").contains("sort -k1,1nr -k2"));
    assert_eq!(played.done()["branch"], lab.branches()[0].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commit_is_ours_and_holds_what_the_patch_says() {
    let lab = Lab::start(PLAN).await;
    let played = lab.run().await;
    played.ended("branch only");
    let branch = &lab.branches()[0];
    let commit = lab.git(&["log", "--format=%an <%ae>|%cn|%P|%s", "-1", branch]);
    let parent = lab.git(&["rev-parse", "main"]);
    assert_eq!(
        commit.trim(),
        format!(
            "Pullwright <pullwright@users.noreply.github.com>|Pullwright|{}|Add --top N to show \
             the most frequent words",
            parent.trim()
        )
    );
    let clone = lab.applied(&played.id).await;
    let patched = super::project::git(&clone, &["write-tree"]);
    let pushed = lab.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    assert_eq!(patched, pushed);
}

/// The stream without what differs between two runs. Thoughts come in as many pieces as time
/// makes, so they are joined, and the numbers of events are only seen to grow.
fn shown(lab: &Lab, played: &Played) -> String {
    let mut shown = String::new();
    let (mut last, mut thought) = (0, String::new());
    for line in played.text.lines() {
        if let Some(id) = line.strip_prefix("id: ") {
            let id: u64 = id.parse().expect("a number");
            assert!(id > last, "{id} after {last}");
            last = id;
        } else if let Some(json) = line.strip_prefix("data: ") {
            let frame: Value = serde_json::from_str(json).expect("JSON");
            if is_of_this_machine(&frame) {
                continue;
            }
            if frame["type"] == "AI Thinking" {
                thought.push_str(frame["delta"].as_str().expect("a delta"));
                continue;
            }
            if !thought.is_empty() {
                shown.push_str(&format!("AI Thinking, in pieces: {thought}\n\n"));
                thought.clear();
            }
            let frame = redact(lab, &played.id, &frame);
            shown.push_str(&format!("data: {frame}\n\n"));
        } else if !line.is_empty() && !line.starts_with(':') {
            shown.push_str(&redact_text(lab, &played.id, line));
            shown.push('\n');
        }
    }
    shown
}

/// What a sandbox cannot keep depends on who runs the tests, and on which machine.
fn is_of_this_machine(frame: &Value) -> bool {
    let message = frame["message"].as_str();
    message.is_some_and(|message| message.starts_with("WARNING: "))
}
