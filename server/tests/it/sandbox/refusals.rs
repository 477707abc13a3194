//! What cannot be opened is refused with the reason and the remedy, and leaves nothing.

use std::path::Path;
use std::process::Command;

use pullwright_core::sandbox::SandboxError;
use pullwright_sandbox::local::{Launcher, ReadOnly};

use super::bench::{Bench, run};
use crate::support::in_time;

async fn refusal(bench: &Bench) -> SandboxError {
    in_time(bench.launcher.open(&bench.plan))
        .await
        .err()
        .unwrap()
}

#[tokio::test]
async fn a_missing_source_is_named() {
    let mut bench = Bench::new();
    bench.plan.read_only.push(ReadOnly {
        source: "/no/such/toolchain".into(),
        target: "/opt/toolchain".into(),
    });
    let error = refusal(&bench).await;
    assert!(matches!(error, SandboxError::Refused { kind: "local", .. }));
    let told = error.to_string();
    let start = "the local sandbox cannot be opened: cannot find /no/such/toolchain: ENOENT";
    assert!(told.starts_with(start), "{told}");
}

#[tokio::test]
async fn a_cgroup_that_cannot_be_joined_is_named() {
    let mut bench = Bench::new();
    bench.plan.cgroup_procs.push("/no/such/cgroup.procs".into());
    let told = refusal(&bench).await.to_string();
    assert!(
        told.contains("cannot write process 1 into /no/such/cgroup.procs"),
        "{told}"
    );
}

#[tokio::test]
async fn a_refusal_does_not_end_the_launcher() {
    let mut bench = Bench::new();
    let open = bench.open().await;
    let home = std::mem::replace(&mut bench.plan.home, "/no/such/home".into());
    let told = refusal(&bench).await.to_string();
    assert!(
        told.contains("use /no/such/home as a folder: ENOTDIR"),
        "{told}"
    );
    bench.plan.home = home;
    let another = bench.open().await;
    for sandbox in [open, another] {
        assert_eq!(run(&sandbox, "echo there").await.stdout, "there\n");
    }
}

#[tokio::test]
async fn a_program_that_is_no_launcher_is_told() {
    let mut bench = Bench::new();
    bench.launcher = Launcher::new(Path::new("/bin/true"));
    let told = refusal(&bench).await.to_string();
    assert!(told.contains("the launcher /bin/true"), "{told}");
    bench.launcher = Launcher::new(Path::new("/no/such/launcher"));
    let told = refusal(&bench).await.to_string();
    let start = "cannot start the launcher /no/such/launcher";
    assert!(told.starts_with(start), "{told}");
}

/// Tells this executable to be a server on a machine that refuses.
const BE_REFUSED: &str = "PULLWRIGHT_TEST_BE_REFUSED";

#[test]
fn a_machine_without_further_namespaces_is_told() {
    // In a namespace of its own, the test can set the machine's limit.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let refused = Command::new("unshare")
        .args(["-Ur", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::refusals::the_refused", "--nocapture"])
        .arg("--include-ignored")
        .env(BE_REFUSED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stdout);
    if !said.contains("running 1 test") {
        eprintln!("SKIPPED: no namespace to try it in: {refused:?}");
        return;
    }
    for words in [
        "cannot create user, mount, process",
        "ENOSPC",
        "sysctl user.max_user_namespaces",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
#[ignore = "it is the server that another test has refused"]
async fn the_refused() {
    if std::env::var_os(BE_REFUSED).is_none() {
        return;
    }
    let bench = Bench::of(None);
    println!("{}", refusal(&bench).await);
}
