//! Whole runs with their tool servers at Modal.

use std::process::{Output, Stdio};
use std::time::Duration;

use pullwright_modal_double::{Double, TOKEN_ID, TOKEN_SECRET};
use serde_json::Value;
use tokio::process::Command;

use super::{double, tool_host};
use crate::runs::command_line::Desk;
use crate::runs::lab::GREET;
use crate::runs::project::git;

pub(super) const SANDBOX: &str = "[sandbox]\nkind = \"modal\"\n[sandbox.modal]\ntool_host = \"tool-host\"\n\
     dockerfile = [\"RUN echo the image is built\"]\n[checks]\nrun = [\"grep -q h src/greeting.txt\"]\n";

pub(super) async fn code(desk: &Desk, double: &Double) -> Output {
    let output = code_command(desk, double).output().await;
    output.expect("start pullwright")
}

pub(super) fn code_command(desk: &Desk, double: &Double) -> Command {
    let remote = desk.remote.to_str().expect("UTF-8");
    let command = desk.pullwright(&[
        "code",
        remote,
        "Greet",
        "--config",
        "plugins.toml",
        "--json",
    ]);
    let mut command = Command::from(command);
    command
        .env("MODAL_SERVER_URL", double.url())
        .env("MODAL_TOKEN_ID", TOKEN_ID)
        .env("MODAL_TOKEN_SECRET", TOKEN_SECRET)
        .env("MODAL_CONFIG_PATH", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The frames of a run that ended well.
pub(super) fn frames(output: &Output) -> Vec<Value> {
    let frames = frames_of(output);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{frames:#?}{complaint}");
    frames
}

pub(super) fn frames_of(output: &Output) -> Vec<Value> {
    let shown = String::from_utf8_lossy(&output.stdout);
    let frames = shown.lines().map(serde_json::from_str);
    frames.map(|frame| frame.expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_modal_ends_in_the_same_branch() {
    let double = double(Duration::from_secs(1200)).await;
    let desk = Desk::new(GREET, SANDBOX);
    tool_host(&desk.path);
    let frames = frames(&code(&desk, &double).await);
    is_published(&desk, &frames);
    let told = |frame: &Value| frame["message"] == "the image is built";
    assert!(frames.iter().any(told), "{frames:#?}");
    let used = &frames.last().unwrap()["usage"]["sandbox"];
    assert!(used["memoryGibSeconds"].as_f64() > Some(0.0), "{frames:#?}");
    let told = |frame: &&Value| {
        let message = frame["message"].as_str().unwrap_or_default();
        message.starts_with("the sandbox used ")
    };
    assert_eq!(frames.iter().filter(told).count(), 2, "{frames:#?}");
    // One for the work, one for the check of what is pushed; both are ended.
    assert_eq!(double.sandboxes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_connections_are_cut_ten_times_ends_in_the_same_branch() {
    let double = double(Duration::from_secs(1200)).await;
    let script = format!(
        "[[replies]]\nsteps = [{{ tool_call = {{ name = \"bash\", arguments = {{ command = {:?} }} }} }}]\n{GREET}",
        "for i in $(seq 1 40); do echo $i; sleep 0.05; done"
    );
    let desk = Desk::new(&script, SANDBOX);
    tool_host(&desk.path);
    let mut cuts = 0;
    let cutting = async {
        let mut pace = tokio::time::interval(Duration::from_millis(120));
        loop {
            pace.tick().await;
            if double.sandboxes() > 0 && cuts < 10 {
                double.drop_connections();
                cuts += 1;
            }
        }
    };
    let output = tokio::select! {
        output = code(&desk, &double) => output,
        () = cutting => unreachable!(),
    };
    let frames = frames(&output);
    is_published(&desk, &frames);
    let bash = frames.iter().find(|frame| frame["type"] == "Tool: Bash");
    let printed: String = (1..=40).map(|number| format!("{number}\n")).collect();
    assert_eq!(bash.expect("a command")["output"], printed.trim_end());
    assert_eq!(cuts, 10);
    let reads = double.calls();
    let reads = reads.iter().filter(|call| call.name == "TaskExecStdioRead");
    assert!(reads.count() > 10 + 2 * 2);
}

fn is_published(desk: &Desk, frames: &[Value]) {
    let done = frames.last().expect("a frame");
    assert_eq!(done["outcome"], "branch only", "{done}");
    let branch = done["branch"].as_str().expect("a branch");
    let greeting = git(
        &desk.remote,
        &["show", &format!("{branch}:src/greeting.txt")],
    );
    assert_eq!(greeting, "hi\n");
}
