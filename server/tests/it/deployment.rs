//! `Dockerfile` and `examples/deployment`: what they say of Pullwright is so.

mod health;
mod proxy;
mod text;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use pullwright::store::PostgresAddress;
use serde_json::Value;

use crate::runs::lab::PROGRAM;
use text::{DEPLOYMENT, directives, json_list, read, services, strings};

/// What a server takes to end its runs when it is told to stop, in seconds.
const SHUTDOWN_GRACE_SEC: u64 = 30;

/// What would take from a sandbox what it is made of, or from what runs in it.
const IN_THE_WAY: &[&str] = &[
    "MemoryDenyWriteExecute",
    "PrivateUsers",
    "ProcSubset",
    "ProtectControlGroups",
    "ProtectKernelLogs",
    "ProtectKernelTunables",
    "ProtectProc",
    "RestrictNamespaces",
    "RootDirectory",
    "SystemCallFilter",
];

#[test]
fn the_image_is_run_without_rights_and_says_whether_it_is_ready() {
    let dockerfile = read("../../Dockerfile").replace("\\\n", " ");
    let stages: Vec<&str> = dockerfile.split("\nFROM ").skip(1).collect();
    let [build, image] = stages.as_slice() else {
        panic!("two stages, not {}", stages.len());
    };
    let one = |instruction: &str| {
        let mut found = image.lines().filter_map(|line| {
            line.strip_prefix(instruction)
                .and_then(|rest| rest.strip_prefix(' '))
        });
        let only = found.next().unwrap_or_else(|| panic!("no {instruction}"));
        assert_eq!(found.next(), None, "one {instruction}");
        only
    };
    let user = one("USER").split(':').next().expect("a user");
    let user: u32 = user
        .parse()
        .expect("a number, for who must see that it is not root");
    assert_ne!(user, 0);
    let (copied, into) = one("COPY").rsplit_once(' ').expect("two paths");
    let built = copied
        .strip_prefix("--from=build ")
        .expect("from the build");
    assert!(build.contains(&format!(" {built}")), "{built}");
    assert_eq!(into, "/usr/local/bin/pullwright");
    let (_, health) = one("HEALTHCHECK").split_once("CMD ").expect("a command");
    for command in [health, one("CMD")] {
        takes(&json_list(command));
    }
}

#[test]
fn the_servers_of_the_compose_file_find_what_they_need() {
    let config = effective_config();
    let server = &config["config"]["server"];
    let services = services();
    let mut own = BTreeSet::new();
    for name in ["one", "two"] {
        let service = &services[name];
        let variables = strings(&service["environment"], &[("POSTGRES_PASSWORD", "secret")]);
        let address: PostgresAddress = variables["DATABASE_URL"].parse().expect("a database");
        assert!(
            address.to_string().starts_with("database:5432"),
            "{address}"
        );
        for missing in config["missingVariables"].as_array().expect("a list") {
            let variable = missing["variable"].as_str().expect("a name");
            assert!(variables.contains_key(variable), "{variable} is passed on");
        }
        let ours = variables
            .keys()
            .filter(|name| name.starts_with("PULLWRIGHT_"));
        for variable in ours {
            let source =
                ["cli.rs", "logging.rs"].map(|file| read(&format!("../../server/src/{file}")));
            assert!(
                source.concat().contains(&format!("\"{variable}\"")),
                "{variable} is known"
            );
        }
        let volumes = strings(&service["volumes"], &[]);
        let mounted = |target: &str| {
            let mut found = volumes.values().filter_map(|volume| volume.split_once(':'));
            let found = found.find(|(_, inside)| inside.split(':').next() == Some(target));
            found
                .unwrap_or_else(|| panic!("nothing at {target}"))
                .0
                .to_owned()
        };
        let file = mounted("/etc/pullwright/plugins.toml");
        assert!(Path::new(DEPLOYMENT).join(&file).is_file(), "{file}");
        own.insert(mounted(server["data_dir"].as_str().expect("a folder")));
        let archive = mounted(server["archive_dir"].as_str().expect("a folder"));
        assert_eq!(archive, "archive", "one for all");
        let grace = service["stop_grace_period"].as_str().expect("a time");
        assert!(seconds(grace) > SHUTDOWN_GRACE_SEC, "{grace}");
        let words = service["command"].as_vec().expect("a command");
        let words = words.iter().map(|word| word.as_str().expect("a word"));
        let command: Vec<String> = words.map(str::to_owned).collect();
        takes(&command);
        assert_eq!(command.last().expect("an address"), "0.0.0.0:8080");
        assert!(read("Caddyfile").contains(&format!("{name}:8080")));
    }
    assert_eq!(own.len(), 2, "each has a folder of its own: {own:?}");
}

/// The servers do not start without a key, so the way to one must be right.
#[test]
fn the_key_of_the_compose_file_is_made_as_it_says() {
    let file = read("compose.yaml");
    let line = file.lines().find(|line| line.contains(" keys create "));
    let words = line.expect("a command").split(" #").next();
    let words = words.expect("words").split_whitespace();
    let command = words.skip_while(|word| *word != "pullwright");
    takes(&command.map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn nothing_of_the_compose_file_is_open_to_others() {
    for (name, service) in services() {
        for port in strings(&service["ports"], &[]).values() {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        assert!(service["privileged"].is_badvalue(), "{name}");
    }
}

#[test]
fn the_service_leaves_a_sandbox_what_it_needs() {
    let unit = read("pullwright.service");
    let said = directives(&unit);
    for directive in IN_THE_WAY {
        assert!(!said.contains_key(directive), "{directive} is in the way");
    }
    assert!(said["Delegate"].contains("memory") && said["Delegate"].contains("pids"));
    assert_eq!(
        (said["KillMode"], said["NoNewPrivileges"]),
        ("mixed", "yes")
    );
    assert!(seconds(said["TimeoutStopSec"]) > SHUTDOWN_GRACE_SEC);
    assert_ne!(said["User"], "root");
    let start: Vec<String> = said["ExecStart"].split(' ').map(str::to_owned).collect();
    takes(&start);
    // The real peer, where it is there: the program that the unit names is not.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pullwright.service");
    std::fs::write(&file, unit.replace(&start[0], PROGRAM)).expect("write");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output();
    let Ok(verified) = verified else {
        skipped("systemd's own look at the service: there is no systemd-analyze");
        return;
    };
    let complaint = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && complaint.trim().is_empty(),
        "{complaint}"
    );
}

/// Says that something is not tried here. With `PULLWRIGHT_REQUIRE_PEERS=1` that is a failure.
fn skipped(what: &str) {
    let is_required = std::env::var("PULLWRIGHT_REQUIRE_PEERS").as_deref() == Ok("1");
    assert!(!is_required, "{what}: install it");
    eprintln!("SKIPPED: {what}");
}

/// That `pullwright` has such a command with such options.
fn takes(command: &[String]) {
    let (program, arguments) = command.split_first().expect("a program");
    assert!(program.ends_with("pullwright"), "{program}");
    let mut known = Command::new(PROGRAM);
    let known = known
        .args(arguments)
        .arg("--help")
        .stdin(Stdio::null())
        .output();
    let known = known.expect("start pullwright");
    let complaint = String::from_utf8_lossy(&known.stderr);
    assert!(known.status.success(), "{command:?}: {complaint}");
}

/// What `pullwright config check` says, without any of the variables.
fn effective_config() -> Value {
    let mut check = Command::new(PROGRAM);
    check.args(["config", "check", "--config"]);
    check
        .arg(Path::new(DEPLOYMENT).join("plugins.toml"))
        .env_clear();
    let checked = check.output().expect("start pullwright");
    let complaint = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{complaint}");
    serde_json::from_slice(&checked.stdout).expect("JSON")
}

/// A time such as `2m` or `90s`.
fn seconds(time: &str) -> u64 {
    let number = time.trim_end_matches(char::is_alphabetic);
    let number: u64 = number.parse().expect("a number");
    match &time[time.len() - time.chars().rev().take_while(|c| c.is_alphabetic()).count()..] {
        "s" | "" => number,
        "m" | "min" => number * 60,
        unit => panic!("unknown unit {unit}"),
    }
}
