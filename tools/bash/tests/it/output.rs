//! Much output, much input.

use serde_json::json;

use crate::support::{Workspace, structured, text};

/// The most memory, in KiB, that reading endless output may add.
const MEMORY_SLACK_KIB: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_are_read_and_bounded() {
    let workspace = Workspace::new();
    let output = workspace
        .run("seq 1500000 | head -c 10000000; echo; echo end")
        .await;
    assert_eq!(structured(&output, "output_bytes"), 10_000_005);
    let text = text(&output);
    assert!(text.len() < 31_000, "{} bytes", text.len());
    assert!(
        text.starts_with("1\n2\n") && text.ends_with("\nend"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_ends_in_time_and_in_bounded_memory() {
    for endless in [
        "yes",
        "cat /dev/zero",
        "cat /dev/urandom",
        "yes $'\\e]0;' | tr -d '\\n'",
    ] {
        let workspace = Workspace::new();
        let before = resident_kib();
        let call = json!({ "command": endless, "timeout_sec": 1 });
        let output = workspace.call(call).await.unwrap();
        assert_eq!(structured(&output, "timed_out"), true);
        assert!(structured(&output, "output_bytes").as_u64().unwrap() > 1_000_000);
        assert!(text(&output).len() < 100_000);
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < MEMORY_SLACK_KIB, "{endless}: {grown} KiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_a_megabyte_runs() {
    let workspace = Workspace::new();
    let line = format!(": {}\n", "x".repeat(1000));
    let script = format!("count=0\n{}cat\necho whole\nexit 7\n", line.repeat(1100));
    assert!(script.len() > 1024 * 1024);
    let output = workspace.run(&script).await;
    assert_eq!(text(&output), "whole\n[exit code 7]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_at_the_edge_of_an_argument_runs() {
    let workspace = Workspace::new();
    for bytes in [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 128 * 1024] {
        let script = format!("echo ok #{}", "é".repeat((bytes - 9) / 2));
        assert_eq!(text(&workspace.run(&script).await), "ok", "{bytes} bytes");
    }
}

/// The memory of this process that is in use.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
