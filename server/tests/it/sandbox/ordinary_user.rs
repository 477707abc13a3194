//! The same tests once more, as a user who is not root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::bench::{LAUNCHER, is_root, launcher};

/// The user `nobody`.
const USER: u32 = 65_534;

#[test]
fn all_of_it_holds_for_an_ordinary_user() {
    if !is_root() {
        eprintln!("SKIPPED: this is an ordinary user already");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        // Only the folders above it may be closed to others.
        fs::hard_link(from, &to)
            .or_else(|_| fs::copy(from, &to).map(drop))
            .unwrap();
        to
    };
    let tests = place(&std::env::current_exe().unwrap(), "tests");
    let launcher = place(&launcher(), "pullwright");
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    std::os::unix::fs::chown(&temporary, Some(USER), Some(USER)).unwrap();
    let user = USER.to_string();
    let ran = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
        .arg(&tests)
        .args(["sandbox::", "--skip", "ordinary_user"])
        .env_clear()
        .env(LAUNCHER, launcher)
        .env("TMPDIR", temporary)
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(!said.contains("running 0 tests"), "{said}");
}
