//! Whatever ends a command ends all of its processes.

use serde_json::json;

use crate::support::{Workspace, lives, pid_in, structured, text, until_dead};

/// A process that leaves its session, its group and its parent, and writes its number into `pid`.
const RUNAWAY: &str = "(setsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 </dev/null &)";

#[tokio::test(flavor = "multi_thread")]
async fn timeout_kills_a_process_that_left_the_session() {
    let workspace = Workspace::new();
    let call = json!({ "command": format!("{RUNAWAY}; sleep 1000"), "timeout_sec": 1 });
    let output = workspace.call(call).await.unwrap();
    assert_eq!(structured(&output, "timed_out"), true);
    // Nothing to wait for: the answer says it was killed.
    assert!(!lives(pid_in(&workspace, "pid").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_kills_what_ignores_the_request_to_end() {
    let workspace = Workspace::new();
    let stubborn = "trap '' TERM INT HUP; echo $$ >pid; while :; do sleep 1000; done";
    let call = json!({ "command": stubborn, "timeout_sec": 1 });
    let output = workspace.call(call).await.unwrap();
    assert_eq!(structured(&output, "timed_out"), true);
    assert!(!lives(pid_in(&workspace, "pid").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_lets_a_command_clean_up() {
    let workspace = Workspace::new();
    let tidy = "touch lock; trap 'rm lock; echo tidied; exit 1' TERM; while :; do sleep 0.01; done";
    let call = json!({ "command": tidy, "timeout_sec": 1 });
    let output = workspace.call(call).await.unwrap();
    assert!(text(&output).contains("tidied"), "{}", text(&output));
    assert!(!workspace.root().join("lock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout_outruns_processes_that_keep_forking() {
    let workspace = Workspace::new();
    let hydra = "echo $$ >pid; chain() { sleep 0.005; setsid bash -c \"$(declare -f chain); chain\" & \
                 exit; }; chain & sleep 1000";
    let call = json!({ "command": hydra, "timeout_sec": 1 });
    let output = workspace.call(call).await.unwrap();
    assert_eq!(structured(&output, "timed_out"), true);
    let again = workspace
        .run("pgrep -f 'declare -f chai[n]' || echo none")
        .await;
    assert_eq!(text(&again), "none");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_call_kills_its_processes() {
    let workspace = Workspace::new();
    let command = format!("{RUNAWAY}; echo $$ >shell; sleep 1000");
    let (runaway, shell) = tokio::select! {
        _ = workspace.run(&command) => panic!("it ended"),
        pids = async { (pid_in(&workspace, "pid").await, pid_in(&workspace, "shell").await) } => pids,
    };
    until_dead(runaway).await;
    until_dead(shell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_server_kills_what_was_left_behind() {
    let workspace = Workspace::new();
    workspace.run(RUNAWAY).await;
    workspace.run("sleep 1000 & echo $! >plain").await;
    let (runaway, plain) = (
        pid_in(&workspace, "pid").await,
        pid_in(&workspace, "plain").await,
    );
    assert!(lives(runaway) && lives(plain));
    let Workspace { folder, server } = workspace;
    drop(server);
    assert!(!lives(runaway) && !lives(plain));
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_does_not_end_another() {
    let (workspace, other) = (Workspace::new(), Workspace::new());
    workspace
        .run("sleep 1000 >/dev/null 2>&1 & echo $! >server")
        .await;
    other
        .run("sleep 1000 >/dev/null 2>&1 & echo $! >server")
        .await;
    let call = json!({ "command": "sleep 1000", "timeout_sec": 1 });
    workspace.call(call).await.unwrap();
    assert!(lives(pid_in(&workspace, "server").await));
    assert!(lives(pid_in(&other, "server").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_side_by_side() {
    let workspace = Workspace::new();
    // Each waits for the other: one after the other they would never end.
    let (one, two) = tokio::join!(
        workspace.run("mkfifo a b 2>/dev/null; until [ -p b ]; do :; done; echo x >a; cat b"),
        workspace.run("until [ -p b ]; do :; done; cat a; echo y >b"),
    );
    assert_eq!((text(&one), text(&two)), ("y".to_owned(), "x".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_gone_is_said() {
    let Workspace { folder, server } = Workspace::new();
    let path = folder.path().to_owned();
    folder.close().unwrap();
    let serde_json::Value::Object(arguments) = json!({ "command": "true" }) else {
        unreachable!()
    };
    let call = pullwright_tool_kit::Call::detached();
    let refusal = server.call("bash", arguments, call).await.unwrap_err();
    let refusal = refusal.to_string();
    assert!(refusal.contains(&path.display().to_string()), "{refusal}");
    assert!(
        refusal.contains("the folder or the shell is gone"),
        "{refusal}"
    );
}
