//! npm `@modelcontextprotocol/conformance`: the protocol's own test suite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::Peers;

/// A suite of some thirty scenarios, run side by side.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// Plays all client scenarios of a version of the protocol with `client`, a command that gets the
/// address as its last argument. Only what `expected_failures` names may fail, and must. Answers what
/// the suite printed.
pub(crate) async fn client_suite(
    peers: &Peers,
    client: &Path,
    version: &str,
    expected_failures: &Path,
) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut suite = peers.command(
        "@modelcontextprotocol/conformance/dist/index.js",
        home.path(),
    );
    suite
        .args(["client", "--suite", "all", "--spec-version", version])
        .arg("--command")
        .arg(client)
        .arg("--expected-failures")
        .arg(expected_failures);
    let output = tokio::time::timeout(SUITE_LIMIT, suite.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("no end in {SUITE_LIMIT:?}"))
        .unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{version}: {}\n{told}",
        output.status
    );
    told
}

/// Our client for the suite, which cargo builds with the workspace's tests.
pub(crate) fn client_of_ours() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let client = folder.join("examples/conformance_client");
    assert!(
        client.exists(),
        "{} is missing; run `cargo build --workspace --examples`",
        client.display()
    );
    client
}
