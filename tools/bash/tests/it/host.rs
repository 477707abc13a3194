//! A process that does nothing but host commands, as in a sandbox: this test binary, started again.

use std::process::Stdio;

use rmcp::service::PeerRequestOptions;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::link::{answer, client, start};
use crate::support::{PATIENCE, Workspace, lives, pid_in, until_dead};

/// Says to the started process where to connect to, and which workspace to serve.
const SOCKET: &str = "TEST_TOOL_HOST_SOCKET";
const ROOT: &str = "TEST_TOOL_HOST_ROOT";

/// A process that left everything by which it could be found: parent, group, session, environment.
const HIDDEN: &str = "(env -i setsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 </dev/null &); \
     until [ -s pid ]; do sleep 0.01; done";

#[test]
#[ignore = "it is the far side of the other tests here, which start it"]
fn the_far_side() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        eprintln!("SKIPPED: nobody is on the near side");
        return;
    };
    pullwright_bash::own_process().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let socket = UnixStream::connect(socket).await.unwrap();
        let (read, write) = socket.into_split();
        let server = pullwright_bash::server(std::env::var_os(ROOT).unwrap().into());
        pullwright_tool_kit::serve(server, read, write)
            .await
            .unwrap();
    });
}

/// A tool host in a process of its own, and the stream to it.
pub(crate) async fn host(workspace: &Workspace) -> (Child, UnixStream) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host::the_far_side", "--ignored"])
        .env(SOCKET, socket)
        .env(ROOT, workspace.root())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
    (child, accepted.unwrap().unwrap().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hides_from_the_end_of_the_server() {
    let workspace = Workspace::new();
    let (mut child, stream) = host(&workspace).await;
    let (client, _) = client(stream).await;
    let left = start(&client, HIDDEN, PeerRequestOptions::default()).await;
    assert_eq!(answer(left).await, "(no output)");
    let hidden = pid_in(&workspace, "pid").await;
    assert!(lives(hidden));
    client.cancel().await.unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap();
    assert!(status.unwrap().success());
    assert!(!lives(hidden));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_command_ends_with_the_server() {
    let workspace = Workspace::new();
    let (mut child, stream) = host(&workspace).await;
    let (client, _) = client(stream).await;
    let command = format!("{HIDDEN}; echo $$ >shell; sleep 1000");
    let _call = start(&client, &command, PeerRequestOptions::default()).await;
    let (hidden, shell) = (
        pid_in(&workspace, "pid").await,
        pid_in(&workspace, "shell").await,
    );
    client.cancel().await.unwrap();
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap();
    until_dead(shell).await;
    until_dead(hidden).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_processes_that_end_are_forgotten() {
    let workspace = Workspace::new();
    let (_child, stream) = host(&workspace).await;
    let (client, _) = client(stream).await;
    let orphans = "for i in 1 2 3 4 5; do (setsid true >/dev/null 2>&1 &); done";
    let call = start(&client, orphans, PeerRequestOptions::default()).await;
    answer(call).await;
    // The next command forgets whatever ended since.
    let mut ended = usize::MAX;
    for _ in 0..50 {
        let count = "ps -o stat= --ppid $PPID | grep -c Z";
        let call = start(&client, count, PeerRequestOptions::default()).await;
        let text = answer(call).await;
        ended = text.lines().next().unwrap().parse().unwrap();
        if ended == 0 {
            break;
        }
    }
    assert_eq!(ended, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_no_terminal_to_ask_at() {
    let workspace = Workspace::new();
    let (_child, stream) = host(&workspace).await;
    let (client, _) = client(stream).await;
    let ask = "(: </dev/tty) 2>&1 | grep -o 'No such device or address'";
    let call = start(&client, ask, PeerRequestOptions::default()).await;
    assert_eq!(answer(call).await, "No such device or address");
}
