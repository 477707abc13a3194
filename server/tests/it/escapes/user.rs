//! The same cases once more, as a user who is not root.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::stage::open_to;
use super::table::Table;
use super::tools;
use crate::sandbox::bench::{LAUNCHER, is_root, launcher};

/// The user `nobody`.
const USER: u32 = 65_534;
/// The test that is run again.
const TEST: &str = "escapes::nothing_escapes_and_honest_work_goes_on";
/// Where the second run leaves its table.
const TABLE: &str = "PULLWRIGHT_ESCAPE_TABLE";

/// Whether this is the run that another one started.
pub(super) fn is_second_run() -> bool {
    std::env::var_os(TABLE).is_some()
}

/// Leaves the table for the run that started this one.
pub(super) fn hand_over(table: &Table) {
    if let Some(place) = std::env::var_os(TABLE) {
        fs::write(place, serde_json::to_vec(table).unwrap()).unwrap();
    }
}

/// Answers what failed.
pub(super) fn run(table: &mut Table) -> Vec<String> {
    if !is_root() {
        if !is_second_run() {
            eprintln!("SKIPPED: the cases as root: this is an ordinary user");
        }
        return Vec::new();
    }
    let folder = tempfile::tempdir().unwrap();
    open_to(folder.path(), 0o755);
    let tests = place(&std::env::current_exe().unwrap(), folder.path(), "tests");
    let launcher = place(&launcher(), folder.path(), "pullwright");
    let own = folder.path().join("tmp");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(USER), Some(USER)).unwrap();
    let (user, told) = (USER.to_string(), own.join("table"));
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
        .arg(&tests)
        .args(["--exact", TEST, "--nocapture"])
        .env_clear()
        .env(LAUNCHER, launcher)
        .env(TABLE, &told)
        .env("TMPDIR", &own)
        .env("HOME", &own)
        .env("PATH", tools::path())
        .current_dir("/");
    for name in ["PULLWRIGHT_ESCAPE", "PULLWRIGHT_REQUIRE_PEERS"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if let Ok(told) = fs::read(told) {
        table.merge(serde_json::from_slice(&told).unwrap());
    }
    match ran.status.success() && table.has_user() {
        true => Vec::new(),
        false => vec![format!("as an ordinary user:\n{said}")],
    }
}

fn place(from: &Path, folder: &Path, name: &str) -> std::path::PathBuf {
    let to = folder.join(name);
    // Only the folders above it may be closed to others.
    fs::hard_link(from, &to)
        .or_else(|_| fs::copy(from, &to).map(drop))
        .unwrap();
    to
}
