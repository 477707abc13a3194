//! What cannot be done is said, with the thing and the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pullwright_core::config::Config;
use pullwright_core::sandbox::{SandboxCommand, SandboxError};
use pullwright_protocol::RunId;
use pullwright_sandbox::{NoneHost, open_host};

use crate::bench::{Bench, new_run, open_in, private_folder, run, sh, skipped_without_root};

#[test]
fn only_the_configured_kind_is_opened() {
    let data = private_folder();
    assert_eq!(open("none", data.path()).unwrap().kind(), "none");
    #[cfg(target_os = "linux")]
    assert_eq!(open("local", data.path()).unwrap().kind(), "local");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    for program in [
        "no-such-program",
        "./no-such-program",
        "/no/such/program",
        "",
    ] {
        let error = sandbox
            .spawn(SandboxCommand::new([program]))
            .await
            .unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("cannot start `{program}` in the sandbox: ")),
            "{told}"
        );
    }
    let nothing = sandbox.spawn(SandboxCommand::default()).await.unwrap_err();
    assert!(
        nothing.to_string().starts_with("cannot start ``"),
        "{nothing}"
    );
    let folder = sandbox.spawn(SandboxCommand::new(["."])).await.unwrap_err();
    assert!(matches!(folder, SandboxError::Spawn { .. }), "{folder}");
    assert_eq!(run(&*sandbox, sh("echo on")).await.stdout, "on\n");
}

#[tokio::test]
async fn a_working_folder_that_is_not_there_is_named() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    for cwd in ["missing", "file"] {
        let command = SandboxCommand {
            cwd: Some(PathBuf::from(cwd)),
            ..sh("true")
        };
        let told = sandbox.spawn(command).await.unwrap_err().to_string();
        let path = sandbox.workspace().join(cwd);
        assert!(
            told.starts_with(&format!("cannot start in the folder {}: ", path.display())),
            "{told}"
        );
    }
}

#[tokio::test]
async fn an_argument_with_a_nul_is_refused() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let error = sandbox
        .spawn(SandboxCommand::new(["echo", "a\0b"]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nul byte"), "{error}");
}

#[tokio::test]
async fn a_checkout_that_is_not_there_is_named() {
    let bench = Bench::new();
    let missing = bench.data.path().join("missing");
    let Err(error) = open_in(&bench.host, &new_run(), &missing).await else {
        panic!("it was opened");
    };
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn a_run_cannot_name_a_folder_outside() {
    let bench = Bench::new();
    let checkout = bench.checkout(&new_run());
    for id in ["../up", "", "a/b", "."] {
        let Err(error) = open_in(&bench.host, &RunId(id.to_owned()), &checkout).await else {
            panic!("{id:?} was opened");
        };
        assert!(matches!(error, SandboxError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_way_that_belongs_to_somebody_else_is_not_opened() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let elsewhere = private_folder();
    let checkout = elsewhere.path().join("checkout");
    fs::create_dir(&checkout).unwrap();
    let Err(error) = open_in(&bench.host, &new_run(), &checkout).await else {
        panic!("it was opened");
    };
    let told = error.to_string();
    assert!(
        told.contains(&format!("chmod o+x {}", elsewhere.path().display())),
        "{told}"
    );
    let mode = elsewhere.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_tool_host_that_is_not_there_is_named() {
    if skipped_without_root() {
        return;
    }
    let data = private_folder();
    let Err(error) = NoneHost::new(data.path(), Path::new("/no/such/host")) else {
        panic!("it was taken");
    };
    assert!(
        error
            .to_string()
            .contains("cannot find the tool host /no/such/host"),
        "{error}"
    );
}

fn open(
    kind: &str,
    data_dir: &Path,
) -> Result<std::sync::Arc<dyn pullwright_core::sandbox::SandboxHost>, SandboxError> {
    let text = format!(
        "[agent]\nprovider = 'a'\n[providers.a]\ncommand = 'a'\n[sandbox]\nkind = '{kind}'\n"
    );
    let config = Config::parse(&text, Path::new("plugins.toml")).unwrap();
    open_host(&config.sandbox, data_dir, Path::new("/bin/sh"))
}
