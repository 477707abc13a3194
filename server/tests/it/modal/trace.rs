//! The same steps by our client and by Modal's own, call by call. ARCHITECTURE.md explains each
//! difference.

use std::collections::BTreeSet;
use std::time::Duration;

use pullwright_modal_double::Double;
use tokio::process::Command;

use super::official::{as_account, is_well, python};
use super::{Bench, double, run, tool_host};
use crate::peers::process::Peers;
use crate::support::in_time;

const STEPS: &str = r#"
import sys
import modal

app = modal.App.lookup("tests", create_if_missing=True)
image = (
    modal.Image.from_registry("debian:12")
    .dockerfile_commands("RUN echo building; echo done")
    .add_local_file(sys.argv[1], "/usr/local/bin/pullwright", copy=True)
)
sandbox = modal.Sandbox.create("sleep", "1000", app=app, image=image, timeout=60, block_network=True)
process = sandbox.exec("cat", "/etc/hostname")
process.stdin.write_eof()
process.stdin.drain()
process.stdout.read()
process.stderr.read()
process.wait()
sandbox.terminate()
print("all of it")
"#;

/// The one is fetched for the first call already, as Modal's JavaScript and Go clients do; the other is
/// for the run's own account of what it cost.
const OURS_ONLY: [&str; 2] = ["AuthTokenGet", "SandboxGetResourceUsage"];

/// The headers of a call that only we send, and those that only they do.
const DIFFERENT_HEADERS: [(&str, &[&str], &[&str]); 2] = [
    (
        "SandboxCreateV2",
        &["grpc-timeout", "x-modal-libmodal-version"],
        &["x-modal-node", "x-modal-platform", "x-modal-python-version"],
    ),
    ("TaskExecStart", &["grpc-timeout"], &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_are_those_of_modal_s_own_client() {
    let Some(peers) = Peers::find("the calls of Modal's Python client") else {
        return;
    };
    let bench = Bench::new().await;
    let sandbox = bench.open().await;
    run(&*sandbox, "cat /etc/hostname").await;
    in_time(sandbox.close()).await.unwrap();

    let double = double(Duration::from_secs(1200)).await;
    let mut command = Command::new(python(&peers));
    command
        .args(["-c", STEPS])
        .arg(tool_host(bench.folder.path()));
    as_account(&mut command, &double);
    is_well(&in_time(command.output()).await.unwrap());

    let (ours, theirs) = (&bench.double, &double);
    assert_eq!(control_plane(ours), control_plane(theirs));
    assert_eq!(command_router(ours), command_router(theirs));
    for name in ["SandboxCreateV2", "TaskExecStart"] {
        let (ours, theirs) = (headers(ours, name), headers(theirs, name));
        let more: Vec<&String> = ours.difference(&theirs).collect();
        let fewer: Vec<&String> = theirs.difference(&ours).collect();
        let (we, they) = DIFFERENT_HEADERS
            .iter()
            .find_map(|(call, we, they)| (*call == name).then_some((*we, *they)))
            .unwrap();
        assert_eq!(more, we);
        assert_eq!(fewer, they);
    }
}

/// Calls in order; one that is made several times in a row stands once.
fn control_plane(double: &Double) -> Vec<String> {
    let names = double.calls().into_iter().map(|call| call.name);
    let is_of_it = |name: &String| !name.starts_with("Task") && !OURS_ONLY.contains(&name.as_str());
    let mut names: Vec<String> = names.filter(is_of_it).collect();
    names.dedup();
    names
}

/// In no order: we read before we write, and read both streams at once.
fn command_router(double: &Double) -> BTreeSet<String> {
    let names = double.calls().into_iter().map(|call| call.name);
    names.filter(|name| name.starts_with("Task")).collect()
}

fn headers(double: &Double, name: &str) -> BTreeSet<String> {
    let calls = double.calls();
    let call = calls.into_iter().find(|call| call.name == name);
    call.unwrap().headers.into_keys().collect()
}
