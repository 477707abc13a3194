//! Modal sandboxes.

mod account;
mod wire;

use std::io::Write as _;
use std::path::PathBuf;

/// The interpreter that has Modal's own client, unless the test is skipped, visibly.
fn python(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PULLWRIGHT_PEERS").map(PathBuf::from);
    let python = root.map(|root| root.join("python/bin/python"));
    if let Some(python) = python.filter(|python| python.is_file()) {
        return Some(python);
    }
    let note = format!("{what}: run .ci/peers/install and set PULLWRIGHT_PEERS to its folder");
    let required = std::env::var("PULLWRIGHT_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{note}");
    // Written past the test runner, which hides what a passing test prints.
    std::io::stderr()
        .write_all(format!("SKIPPED: {note}\n").as_bytes())
        .unwrap();
    None
}
