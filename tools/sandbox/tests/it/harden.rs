//! A hardened server cannot be read by its own user.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use pullwright_sandbox::harden_server;

use crate::bench::is_root;

/// Tells this executable to be the server; its value is the secret.
const SECRET: &str = "PULLWRIGHT_TEST_SECRET";
/// Any user without rights: root reads everything.
const NOBODY: u32 = 65534;

#[test]
fn its_environment_is_closed_to_its_own_user() {
    let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("server");
    // Another process copies it: one written by this process may be busy while tests start others.
    let copied = Command::new("cp")
        .arg(std::env::current_exe().unwrap())
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    let mut server = as_user(Command::new(&program))
        .args([
            "--exact",
            "harden::the_server",
            "--nocapture",
            "--include-ignored",
        ])
        .env_clear()
        .env(SECRET, "hunter2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);

    lines.find(|line| line.contains("open")).unwrap();
    assert!(
        environment_of(&server).contains("hunter2"),
        "the test reads nothing at all"
    );
    writeln!(server.stdin.as_mut().unwrap(), "go").unwrap();
    lines.find(|line| line.contains("hardened")).unwrap();
    assert_eq!(environment_of(&server), "");
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

#[test]
#[ignore = "it is the server that another test reads"]
fn the_server() {
    if std::env::var_os(SECRET).is_none() {
        return;
    }
    println!("open");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    harden_server().unwrap();
    let open = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new()
        .permissions(open)
        .tempfile()
        .unwrap();
    let mode = file.as_file().metadata().unwrap().permissions().mode();
    assert_eq!(
        mode & 0o777,
        0o600,
        "the files of a hardened server are private"
    );
    println!("hardened");
    std::io::stdin().lock().read_line(&mut line).unwrap();
}

fn environment_of(server: &Child) -> String {
    let path = format!("/proc/{}/environ", server.id());
    let read = as_user(Command::new("cat")).arg(path).output().unwrap();
    String::from_utf8_lossy(&read.stdout).into_owned()
}

fn as_user(mut command: Command) -> Command {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}
