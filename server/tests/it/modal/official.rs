//! Modal's own clients against the double: what they take for Modal, ours may too.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use pullwright_modal_double::{Double, TOKEN_ID, TOKEN_SECRET};
use tokio::process::Command;

use super::double;
use crate::peers::process::Peers;
use crate::support::in_time;

/// Makes a sandbox and uses all of it that we use.
const SCRIPT: &str = r#"
import modal

app = modal.App.lookup("tests", create_if_missing=True)
image = modal.Image.from_registry("debian:12").run_commands("echo built by python")
with modal.enable_output():
    sandbox = modal.Sandbox.create("sleep", "1000", app=app, image=image, timeout=60)

process = sandbox.exec("sh", "-c", "cat; echo $GREETING >&2; exit 3", env={"GREETING": "hello"})
process.stdin.write("one\ntwo\n")
process.stdin.write_eof()
process.stdin.drain()
assert process.stdout.read() == "one\ntwo\n"
assert process.stderr.read() == "hello\n"
assert process.wait() == 3

large = sandbox.exec("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' a")
assert len(large.stdout.read()) == 3000000

assert sandbox.poll() is None
sandbox.set_tags({"run": "7"})
found = list(modal.Sandbox.list(app_id=app.app_id, tags={"run": "7"}))
assert [one.object_id for one in found] == [sandbox.object_id]

snapshot = sandbox.snapshot_filesystem()
assert snapshot.object_id.startswith("im-")

sandbox.terminate()
sandbox.wait(raise_on_termination=False)
assert sandbox.returncode == 137
print("all of it")
"#;

pub(super) fn python(peers: &Peers) -> PathBuf {
    peers.root().join("python/bin/python")
}

pub(super) fn as_account(command: &mut Command, double: &Double) {
    command
        .env("MODAL_SERVER_URL", double.url())
        .env("MODAL_TOKEN_ID", TOKEN_ID)
        .env("MODAL_TOKEN_SECRET", TOKEN_SECRET)
        .env("MODAL_CONFIG_PATH", "/nonexistent")
        .kill_on_drop(true);
}

pub(super) fn is_well(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("all of it"),
        "{said}\n{complaint}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_takes_the_double_for_modal() {
    let Some(peers) = Peers::find("Modal's Python client") else {
        return;
    };
    let double = double(Duration::from_secs(1200)).await;
    let mut command = Command::new(python(&peers));
    command.args(["-c", SCRIPT]);
    as_account(&mut command, &double);
    is_well(&in_time(command.output()).await.unwrap());
    assert_eq!(double.sandboxes(), 0);
}

/// The same in JavaScript.
const MODULE: &str = r#"
import assert from "node:assert";
import { ModalClient } from "modal";

const modal = new ModalClient();
const app = await modal.apps.fromName("tests", { createIfMissing: true });
const image = modal.images.fromRegistry("debian:12");
const sandbox = await modal.sandboxes.create(app, image, { command: ["sleep", "1000"], timeoutMs: 60000 });

const child = await sandbox.exec(["sh", "-c", "cat; echo $GREETING >&2; exit 3"], { env: { GREETING: "hello" } });
await child.stdin.writeText("one\ntwo\n");
await child.stdin.close();
assert.equal(await child.stdout.readText(), "one\ntwo\n");
assert.equal(await child.stderr.readText(), "hello\n");
assert.equal(await child.wait(), 3);

assert.equal(await sandbox.poll(), null);
await sandbox.setTags({ run: "7" });
const snapshot = await sandbox.snapshotFilesystem();
assert.ok(snapshot.imageId.startsWith("im-"));
await sandbox.terminate();
assert.equal(await sandbox.wait(), 137);
modal.close();
console.log("all of it");
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_takes_the_double_for_modal() {
    let Some(peers) = Peers::find("Modal's JavaScript client") else {
        return;
    };
    let double = double(Duration::from_secs(1200)).await;
    // Beside the modules, where Node looks for them.
    let file = tempfile::Builder::new()
        .suffix(".mjs")
        .tempfile_in(peers.root())
        .unwrap();
    std::fs::write(file.path(), MODULE).unwrap();
    let mut command = Command::new(peers.node());
    command.arg(file.path());
    as_account(&mut command, &double);
    is_well(&in_time(command.output()).await.unwrap());
    assert_eq!(double.sandboxes(), 0);
}

/// What is deployed, as Modal's own client reads it.
const DEPLOYMENT: &str = r#"
import runpy
import sys

serve = runpy.run_path(sys.argv[1])["serve"]
assert serve._is_web_endpoint()
spec = serve._spec_
assert [str(path) for path in spec.volumes] == ["/var/lib/pullwright/mirrors"], spec.volumes
assert len(spec.secrets) == 1 and spec.memory == 2048, spec
print("all of it")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_is_one_that_modal_s_client_takes() {
    let Some(peers) = Peers::find("the deployment, with Modal's Python client") else {
        return;
    };
    let double = double(Duration::from_secs(1200)).await;
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut command = Command::new(python(&peers));
    command
        .args(["-c", DEPLOYMENT])
        .arg(format!("{examples}/deploy_modal.py"));
    as_account(&mut command, &double);
    is_well(&in_time(command.output()).await.unwrap());

    let mut command = Command::new(super::PROGRAM);
    command.args(["config", "check", "--config"]);
    command.arg(format!("{examples}/deploy_modal.toml"));
    let output = in_time(command.output()).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
}
