//! Processes that outlive their command.

use crate::support::{Workspace, lives, pid_in, structured, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_background_server_goes_on_printing_and_working() {
    let workspace = Workspace::new();
    // More than any pipe holds, so it would block or die if nobody read on.
    let server = "(until [ -e go ]; do sleep 0.01; done; seq 100000; touch survived) & echo up";
    let output = workspace.run(server).await;
    assert!(text(&output).starts_with("up\n"), "{}", text(&output));
    workspace.run("touch go").await;
    let survived = workspace.root().join("survived");
    until("the server survived", || survived.exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_background_output_does_not_hold_the_answer() {
    let workspace = Workspace::new();
    let output = workspace.run("yes & echo $! >pid").await;
    assert_eq!(structured(&output, "background"), true);
    assert!(lives(pid_in(&workspace, "pid").await));
    workspace.run("kill $(cat pid)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_printing_background_processes_are_refused() {
    let workspace = Workspace::new();
    for _ in 0..32 {
        let output = workspace.run("sleep 1000 &").await;
        assert_eq!(structured(&output, "background"), true);
    }
    let output = workspace.run("sleep 1000 & echo $! >pid").await;
    assert!(
        text(&output).contains("were killed, because too many others"),
        "{}",
        text(&output)
    );
    assert_eq!(structured(&output, "background"), false);
    assert_eq!(structured(&output, "exit_code"), 0);
    assert!(!lives(pid_in(&workspace, "pid").await));
}
