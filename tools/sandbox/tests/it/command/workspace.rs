//! The workspace, shared or sent.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::bench::Yard;
use crate::bench::{bounded, new_run, run, sh};

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_one_is_the_folder_itself() {
    let yard = Yard::shared();
    let sandbox = yard.open().await;
    let ran = run(&*sandbox, sh("pwd; cat file; echo more > new")).await;
    let checkout = yard.checkout();
    assert_eq!(sandbox.workspace(), checkout);
    assert_eq!(ran.stdout, format!("{}\ncontent\n", checkout.display()));
    bounded(sandbox.close()).await.unwrap();
    assert_eq!(fs::read_to_string(checkout.join("new")).unwrap(), "more\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_one_is_a_copy_that_is_removed() {
    let yard = Yard::sent();
    fill(&yard.checkout());
    let sandbox = yard.open().await;
    let script = "pwd; cat file sub/deep/inner; readlink link out; ls -1 | wc -l; \
                  stat -c %a program sub; wc -c < big; cksum < big; ls sub/deep | od -c | head -1; \
                  echo changed > file";
    let ran = run(&*sandbox, sh(script)).await;
    let here = run_here(&yard.checkout(), "cksum < big");
    let root = sandbox.workspace().to_owned();
    assert_ne!(root, yard.checkout());
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..11],
        [
            root.to_str().unwrap(),
            "content",
            "inner",
            "sub/deep",
            "/etc/passwd",
            "7",
            "755",
            "755",
            "3000000",
            here.trim(),
            "0000000   i   n   n   e   r  \\n   n 377   e  \\n",
        ],
        "{}",
        ran.stderr
    );
    bounded(sandbox.close()).await.unwrap();
    assert!(!root.exists());
    assert!(!root.parent().unwrap().exists());
    assert_eq!(
        fs::read_to_string(yard.checkout().join("file")).unwrap(),
        "content\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_folder_is_removed_too() {
    let yard = Yard::sent();
    let sandbox = yard.open().await;
    let script =
        "mkdir -p a/b/c && chmod 0 a/b && chmod 500 a . && mkdir $TMPDIR/x && chmod 0 $TMPDIR/x";
    run(&*sandbox, sh(script)).await;
    let own = sandbox.workspace().parent().unwrap().to_owned();
    bounded(sandbox.close()).await.unwrap();
    assert!(!own.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_told() {
    let yard = Yard::sent();
    let checkout = yard.checkout();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        checkout.join("pipe"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    let told = yard.refusal().await.to_string();
    assert!(
        told.contains("could not be read: pipe: it is neither"),
        "{told}"
    );
    let missing = yard.data.path().join("missing");
    let Err(error) = bounded(yard.host().open(&new_run(), &missing)).await else {
        panic!("it was opened");
    };
    assert!(error.to_string().contains("could not be read"), "{error}");
}

fn fill(checkout: &Path) {
    fs::create_dir_all(checkout.join("sub/deep")).unwrap();
    fs::write(checkout.join("sub/deep/inner"), "inner\n").unwrap();
    let strange = std::ffi::OsStr::from_bytes(b"n\xffe");
    fs::write(checkout.join("sub/deep").join(strange), "").unwrap();
    symlink("sub/deep", checkout.join("link")).unwrap();
    symlink("/etc/passwd", checkout.join("out")).unwrap();
    let program = checkout.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    fs::write(checkout.join("big"), big).unwrap();
    fs::write(checkout.join("empty"), "").unwrap();
}

fn run_here(folder: &Path, script: &str) -> String {
    let ran = std::process::Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output();
    String::from_utf8(ran.unwrap().stdout).unwrap()
}
