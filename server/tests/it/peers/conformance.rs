//! npm `@modelcontextprotocol/conformance`: the protocol's own test suite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::Peers;

/// A suite of some thirty scenarios, run side by side.
const SUITE_LIMIT: Duration = Duration::from_secs(300);

/// What one of its clients may take, in milliseconds: they all run at once, and the machine may be busy.
const CLIENT_LIMIT_MS: &str = "180000";

/// A scenario that tells a client's two streams apart by when they come, and takes one for the other where the machine is
/// too busy with all scenarios at once.
const BY_ITSELF: &str = "sse-retry";

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
    let (is_sound, told) = suite(peers, &arguments, version, expected_failures).await;
    if is_sound {
        return told;
    }
    assert_eq!(unexpected(&told), [BY_ITSELF], "{version}: {told}");
    let alone = ["--scenario", BY_ITSELF, "--spec-version", version];
    let (is_sound, told_alone) = play(peers, &[arguments.as_slice(), &alone].concat()).await;
    assert!(is_sound, "{version}: {told_alone}");
    told.replace(&format!("✗ {BY_ITSELF}"), &format!("✓ {BY_ITSELF}"))
}

/// The same with all server scenarios, against the server at `url`.
pub(crate) async fn server_suite(
    peers: &Peers,
    url: &str,
    version: &str,
    expected_failures: &Path,
) -> String {
    let arguments = ["server", "--url", url];
    let (is_sound, told) = suite(peers, &arguments, version, expected_failures).await;
    assert!(is_sound, "{version}: {told}");
    told
}

/// Whether all came out as expected, and what was printed.
async fn suite(
    peers: &Peers,
    arguments: &[&str],
    version: &str,
    expected_failures: &Path,
) -> (bool, String) {
    let expected = expected_failures.to_str().unwrap();
    let all = ["--suite", "all", "--spec-version", version];
    let but = ["--expected-failures", expected];
    play(peers, &[arguments, &all, &but].concat()).await
}

async fn play(peers: &Peers, arguments: &[&str]) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    let script = "@modelcontextprotocol/conformance/dist/index.js";
    let mut command = peers.command(script, home.path());
    command.args(arguments);
    let output = tokio::time::timeout(SUITE_LIMIT, command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("no end in {SUITE_LIMIT:?}"))
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output.status.success(), told)
}

/// The scenarios that failed and must not.
fn unexpected(told: &str) -> Vec<&str> {
    let (_, listed) = told.split_once("Unexpected failures").unwrap_or_default();
    let lines = listed.lines().skip(1);
    let names = lines.map_while(|line| line.strip_prefix("  ✗ "));
    names.collect()
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
