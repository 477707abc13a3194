//! What cannot be opened is refused with the reason and the remedy, and leaves nothing.

use std::path::Path;

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
