//! Much output, much input.

use rmcp::service::PeerRequestOptions;
use serde_json::json;

use crate::host::host;
use crate::link::{answer, client, start};
use crate::support::{Workspace, structured, text};

/// The most memory, in KiB, that reading endless output may add.
const MEMORY_SLACK_KIB: u64 = 16 * 1024;

/// Commands that never stop printing.
const ENDLESS: [&str; 4] = [
    "yes",
    "cat /dev/zero",
    "cat /dev/urandom",
    "yes $'\\e]0;' | tr -d '\\n'",
];

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
async fn endless_output_ends_in_time() {
    for endless in ENDLESS {
        let workspace = Workspace::new();
        let call = json!({ "command": endless, "timeout_sec": 1 });
        let output = workspace.call(call).await.unwrap();
        assert_eq!(structured(&output, "timed_out"), true);
        assert!(structured(&output, "output_bytes").as_u64().unwrap() > 1_000_000);
        assert!(text(&output).len() < 100_000);
    }
}

/// In a process of its own: what else runs in this one takes memory too.
#[tokio::test(flavor = "multi_thread")]
async fn endless_output_takes_bounded_memory() {
    let workspace = Workspace::new();
    let (child, stream) = host(&workspace).await;
    let (client, _) = client(stream).await;
    let server = child.id().unwrap();
    answer(start(&client, "true", PeerRequestOptions::default()).await).await;
    let before = peak_kib(server);
    for endless in ENDLESS {
        let limited = format!("timeout 1 bash <<'END'\n{endless}\nEND");
        answer(start(&client, &limited, PeerRequestOptions::default()).await).await;
        let grown = peak_kib(server) - before;
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

/// The most memory a process ever had in use.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
