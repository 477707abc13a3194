//! npm `@modelcontextprotocol/conformance`: the protocol's own test suite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::Peers;

/// A suite of some thirty scenarios, run side by side.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// What one of its clients may take, in milliseconds: they all run at once, and the machine may be busy.
const CLIENT_LIMIT_MS: &str = "180000";

/// Plays all client scenarios of a version of the protocol with `client`, a command that gets the
/// address as its last argument. Only what `expected_failures` names may fail, and must. Answers what
/// the suite printed.
pub(crate) async fn client_suite(
    peers: &Peers,
    client: &Path,
    version: &str,
    expected_failures: &Path,
) -> String {
    let client = client.to_str().unwrap();
    let arguments = ["client", "--command", client, "--timeout", CLIENT_LIMIT_MS];
    suite(peers, &arguments, version, expected_failures).await
}

/// The same with all server scenarios, against the server at `url`.
pub(crate) async fn server_suite(
    peers: &Peers,
    url: &str,
    version: &str,
    expected_failures: &Path,
) -> String {
    let arguments = ["server", "--url", url];
    suite(peers, &arguments, version, expected_failures).await
}

async fn suite(
    peers: &Peers,
    arguments: &[&str],
    version: &str,
    expected_failures: &Path,
) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut suite = peers.command(
        "@modelcontextprotocol/conformance/dist/index.js",
        home.path(),
    );
    suite
        .args(arguments)
        .args(["--suite", "all", "--spec-version", version])
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

/// A program of ours for the suite, which cargo builds with the workspace's tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing; run `cargo build --workspace --examples`",
        program.display()
    );
    program
}
