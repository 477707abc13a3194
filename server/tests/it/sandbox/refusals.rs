//! What cannot be opened is refused with the reason and the remedy, and leaves nothing.

use std::path::Path;

use pullwright_core::sandbox::SandboxError;
use pullwright_sandbox::local::{LocalInit, ReadOnly};

use super::bench::{Bench, launcher};
use crate::support::in_time;

async fn refusal(bench: &Bench, launcher: &Path) -> SandboxError {
    let refused = in_time(LocalInit::start(launcher, &bench.plan)).await;
    refused.err().unwrap()
}

#[tokio::test]
async fn a_missing_source_is_named() {
    let mut bench = Bench::new();
    bench.plan.read_only.push(ReadOnly {
        source: "/no/such/toolchain".into(),
        target: "/opt/toolchain".into(),
    });
    let error = refusal(&bench, &launcher()).await;
    assert!(matches!(error, SandboxError::Refused { kind: "local", .. }));
    let told = error.to_string();
    let start = "the local sandbox cannot be opened: cannot find /no/such/toolchain: ENOENT";
    assert!(told.starts_with(start), "{told}");
}

#[tokio::test]
async fn a_cgroup_that_cannot_be_joined_is_named() {
    let mut bench = Bench::new();
    bench.plan.cgroup_procs.push("/no/such/cgroup.procs".into());
    let told = refusal(&bench, &launcher()).await.to_string();
    assert!(
        told.contains("cannot write process 1 into /no/such/cgroup.procs"),
        "{told}"
    );
}

#[tokio::test]
async fn a_program_that_is_no_launcher_is_told() {
    let bench = Bench::new();
    let told = refusal(&bench, Path::new("/bin/true")).await.to_string();
    assert!(told.contains("the launcher /bin/true"), "{told}");
    let told = refusal(&bench, Path::new("/no/such/launcher"))
        .await
        .to_string();
    assert!(
        told.starts_with("cannot start the launcher /no/such/launcher"),
        "{told}"
    );
}
