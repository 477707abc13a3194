//! What a process inside sees, and what it does not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use pullwright_core::sandbox::{ProcessExit, SandboxCommand, SandboxHost as _};
use pullwright_sandbox::NoneHost;

use crate::bench::{
    Bench, is_root, new_run, open_in, private_folder, run, sh, skipped_without_root,
};

#[tokio::test]
async fn the_environment_is_its_own() {
    // Every test has this variable, from cargo.
    let host_variable = "CARGO_MANIFEST_DIR";
    let host_value = std::env::var(host_variable).unwrap();
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let mut command = SandboxCommand::new(["env"]);
    command.env.insert("ADDED".to_owned(), "yes".to_owned());
    let ran = run(&*sandbox, command).await;
    let names: BTreeSet<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    let expected = [
        "ADDED",
        "HOME",
        "LANG",
        "LOGNAME",
        "PATH",
        "PULLWRIGHT_RUN",
        "PULLWRIGHT_SPAWN",
        "TMPDIR",
        "USER",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert!(
        !ran.stdout.contains(&host_value) || ran.stdout.contains(&format!("PATH={host_value}"))
    );
}

#[tokio::test]
async fn the_servers_environment_cannot_be_read() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = format!("cat /proc/{}/environ | tr '\\0' '\\n'", std::process::id());
    let ran = run(&*sandbox, sh(&script)).await;
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("Permission denied"), "{}", ran.stderr);
}

#[tokio::test]
async fn home_and_tmp_are_private_and_empty() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "ls -A $HOME $TMPDIR | grep -v : ; echo a > $HOME/a && echo b > $TMPDIR/b && \
                  stat -c %a $HOME $TMPDIR; umask; mktemp";
    let ran = run(&*sandbox, sh(script)).await;
    let lines: Vec<_> = ran.stdout.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[..3], ["700", "700", "0022"], "{}", ran.stderr);
    assert!(
        Path::new(lines[3]).starts_with(bench.data.path()),
        "{}",
        lines[3]
    );

    sandbox.close().await.unwrap();
    assert!(!Path::new(lines[3]).exists());
    assert!(sandbox.workspace().join("file").exists());
}

#[tokio::test]
async fn it_is_a_user_without_rights() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let script = "id -u; id -G; sed -n 's/^\\(CapPrm\\|CapEff\\|CapInh\\|NoNewPrivs\\|Groups\\):[[:space:]]*//p' \
                  /proc/self/status; stat -c %u . file";
    let ran = run(&*sandbox, sh(script)).await;
    let lines: Vec<_> = ran.stdout.lines().map(str::trim).collect();
    let uid = lines[0];
    assert!(uid.parse::<u32>().unwrap() >= 400_000, "{uid}");
    let nothing = "0000000000000000";
    // Groups come first in the kernel's list, then the three sets of capabilities.
    assert_eq!(
        lines[1..],
        [uid, "", nothing, nothing, nothing, "1", uid, uid]
    );
}

#[tokio::test]
async fn no_descriptor_and_no_terminal_is_inherited() {
    let bench = Bench::new();
    let sandbox = bench.open().await;
    let leaked = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let ran = run(&*sandbox, sh("ls /proc/self/fd; : < /dev/tty")).await;
    // The fourth is the folder that `ls` lists.
    assert_eq!(ran.stdout, "0\n1\n2\n3\n");
    assert!(ran.stderr.contains("/dev/tty"), "{}", ran.stderr);
    assert_ne!(ran.exit, ProcessExit::Code(0));
}

#[tokio::test]
async fn runs_are_strangers_to_each_other() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let (one, other) = (bench.open().await, bench.open().await);
    let uids = [
        run(&*one, sh("id -u")).await.stdout,
        run(&*other, sh("id -u")).await.stdout,
    ];
    assert_ne!(uids[0], uids[1]);

    let theirs = other.workspace().display();
    let script = format!("cat {theirs}/file; ls {theirs}; echo x > {theirs}/new; kill -9 -1; true");
    let process = other.spawn(sh("cat")).await.unwrap();
    let ran = run(&*one, sh(&script)).await;
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.matches("denied").count(), 3, "{}", ran.stderr);
    assert_eq!(
        crate::bench::finish(process).await.exit,
        ProcessExit::Code(0)
    );
    assert!(!other.workspace().join("new").exists());
}

#[tokio::test]
async fn many_runs_have_many_users() {
    if skipped_without_root() {
        return;
    }
    const RUNS: usize = 12;
    let bench = Bench::new();
    let mut open = Vec::new();
    let mut uids = BTreeSet::new();
    for _ in 0..RUNS {
        let sandbox = bench.open().await;
        uids.insert(sandbox.workspace().symlink_metadata().unwrap().uid());
        open.push(sandbox);
    }
    assert_eq!(uids.len(), RUNS);
    for sandbox in open {
        sandbox.close().await.unwrap();
        assert_eq!(sandbox.workspace().symlink_metadata().unwrap().uid(), 0);
    }
}

#[tokio::test]
async fn what_a_checkout_shares_with_a_mirror_stays_the_servers() {
    if skipped_without_root() {
        return;
    }
    let bench = Bench::new();
    let id = new_run();
    let checkout = bench.checkout(&id);
    let mirror = bench.data.path().join("object");
    fs::write(&mirror, "packed").unwrap();
    fs::set_permissions(&mirror, fs::Permissions::from_mode(0o444)).unwrap();
    fs::hard_link(&mirror, checkout.join("object")).unwrap();
    std::os::unix::fs::symlink(&mirror, checkout.join("link")).unwrap();

    let sandbox = open_in(&bench.host, &id, &checkout).await.unwrap();
    let script = "chmod u+w object; echo changed > object; stat -c '%U %a' object; chmod 777 link";
    let ran = run(&*sandbox, sh(script)).await;
    assert!(ran.stderr.contains("not permitted"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&mirror).unwrap(), "packed");
    assert_eq!(mirror.metadata().unwrap().uid(), 0);
    assert_eq!(
        fs::read_to_string(checkout.join("object")).unwrap(),
        "changed\n"
    );
}

#[tokio::test]
async fn a_hidden_tool_host_is_put_where_it_can_be_started() {
    let data = private_folder();
    let home = private_folder();
    let program = home.path().join("tool-host");
    fs::copy("/bin/sh", &program).unwrap();
    let host = NoneHost::new(data.path(), &program).unwrap();
    let id = new_run();
    let checkout = data.path().join("checkout");
    fs::create_dir(&checkout).unwrap();
    let sandbox = open_in(&host, &id, &checkout).await.unwrap();

    assert_eq!(sandbox.tool_host() != program, is_root());
    let path = sandbox.tool_host().to_str().unwrap();
    let ran = run(&*sandbox, SandboxCommand::new([path, "-c", "echo started"])).await;
    assert_eq!(ran.stdout, "started\n", "{}", ran.stderr);

    let again = NoneHost::new(data.path(), &program).unwrap();
    let other = data.path().join("other");
    fs::create_dir(&other).unwrap();
    let same = open_in(&again, &new_run(), &other).await.unwrap();
    assert_eq!(same.tool_host(), sandbox.tool_host());
}

#[test]
fn the_warning_says_what_is_void() {
    let warning = Bench::new().host.warning().unwrap();
    for word in ["isolates nothing", "network", "memory", "read", "trust"] {
        assert!(warning.contains(word), "{word}: {warning}");
    }
    assert_eq!(warning.contains("the server's own user"), !is_root());
}
