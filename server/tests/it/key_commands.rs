//! API keys from the command line, and a server that needs them.

pub(crate) mod serving;

use std::process::Output;

use serde_json::Value;

use crate::runs::command_line::{Desk, files_below};
use crate::runs::lab::GREET;
use serving::Serving;

fn pullwright(desk: &Desk, arguments: &[&str]) -> Output {
    let config = ["--config", "plugins.toml"];
    let arguments: Vec<&str> = arguments.iter().chain(&config).copied().collect();
    desk.pullwright(&arguments).output().expect("start")
}

fn said(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn create(desk: &Desk, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["keys", "create"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let shown = said(&pullwright(desk, &arguments));
    shown.trim_end().to_owned()
}

#[test]
fn a_key_is_made_listed_and_revoked() {
    let desk = Desk::new(GREET, "");
    assert_eq!(
        said(&pullwright(&desk, &["keys", "list"])),
        "there are no API keys\n"
    );
    let arguments = [
        "ci",
        "--scope",
        "run,read",
        "--scope",
        "admin",
        "--repository",
        "github.com/acme/*",
        "--provider",
        "script",
        "--max-usd",
        "2.5",
        "--max-concurrent",
        "3",
        "--expires",
        "30",
    ];
    let secret = create(&desk, &arguments);
    assert!(
        secret.starts_with("pw_") && secret.len() == 52,
        "only the secret is printed"
    );
    let taken = refusal(&pullwright(&desk, &["keys", "create", "ci"]));
    assert!(taken.contains("there is a key `ci`"), "{taken}");

    let listed = said(&pullwright(&desk, &["keys", "list", "--json"]));
    let key: Value = serde_json::from_str(&listed).expect("one key");
    assert_eq!(key["name"], "ci");
    assert_eq!(key["scopes"], serde_json::json!(["run", "read", "admin"]));
    assert_eq!(key["repositories"][0], "github.com/acme/*");
    assert_eq!(
        (&key["maxUsd"], &key["maxConcurrent"]),
        (&2.5.into(), &3.into())
    );
    let lasts = key["expiresAtMs"].as_u64().expect("an end")
        - key["createdAtMs"].as_u64().expect("a begin");
    assert_eq!(lasts, 30 * 24 * 3600 * 1000);
    let people = said(&pullwright(&desk, &["keys", "list"]));
    for part in [
        "ci",
        "live",
        "never used",
        "run,read,admin",
        "ends in 29 d",
        "max $2.5",
    ] {
        assert!(people.contains(part), "{part}: {people}");
    }

    let revoked = pullwright(&desk, &["keys", "revoke", "ci"]);
    let warning = String::from_utf8_lossy(&revoked.stderr).into_owned();
    assert!(warning.contains("that was the last key"), "{warning}");
    assert_eq!(said(&revoked), "key `ci` is revoked\n");
    let again = refusal(&pullwright(&desk, &["keys", "revoke", "ci"]));
    assert!(again.contains("there is no key `ci` to revoke"), "{again}");
    create(&desk, &["ci"]);

    let audit = said(&pullwright(&desk, &["audit", "--json"]));
    let did: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let did: Vec<_> = did
        .iter()
        .map(|entry| entry["action"].as_str().expect("an action"))
        .collect();
    assert_eq!(did, ["key.created", "key.revoked", "key.created"]);
    let people = said(&pullwright(&desk, &["audit", "--limit", "1"]));
    assert!(
        people.contains("command line") && people.contains("read"),
        "{people}"
    );
    assert_eq!(people.lines().count(), 1);
}

#[test]
fn a_key_that_makes_no_sense_is_not_made() {
    let desk = Desk::new(GREET, "");
    let table: [(&[&str], &str); 9] = [
        (&["a b"], "no name for a key"),
        (
            &["ci", "--scope", "write"],
            "there is no scope `write`; there are: run, read, admin",
        ),
        (
            &["ci", "--repository", "https://github.com/acme/shop"],
            "it is a URL",
        ),
        (&["ci", "--repository", "acme"], "no owner and name"),
        (
            &["ci", "--provider", "scirpt"],
            "there is no provider `scirpt`; there are: script",
        ),
        (&["ci", "--max-usd", "0"], "above zero"),
        (&["ci", "--max-usd", "NaN"], "above zero"),
        (&["ci", "--max-concurrent", "0"], "max-concurrent"),
        (&["ci", "--expires", "0"], "expires"),
    ];
    for (arguments, why) in table {
        let arguments: Vec<&str> = ["keys", "create"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let told = refusal(&pullwright(&desk, &arguments));
        assert!(told.contains(why), "{why}: {told}");
    }
    assert!(
        !desk.path.join("data/runs.sqlite").exists(),
        "nothing was made"
    );
    let none = refusal(&pullwright(&desk, &["keys", "revoke", "ci"]));
    assert!(none.contains("there is no key `ci`"), "{none}");
    assert_eq!(
        said(&pullwright(&desk, &["audit"])),
        "nothing was recorded\n"
    );
}

#[test]
fn other_machines_reach_a_server_only_with_a_key_and_a_sandbox() {
    let desk = Desk::new(GREET, "");
    let serve = ["serve", "--listen", "0.0.0.0:0"];
    let told = refusal(&pullwright(&desk, &serve));
    assert!(
        told.contains("make one with `pullwright keys create NAME`"),
        "{told}"
    );
    assert!(
        !desk.path.join("data/runs.sqlite").exists(),
        "nothing was made"
    );
    create(&desk, &["ci"]);
    said(&pullwright(&desk, &["keys", "revoke", "ci"]));
    let told = refusal(&pullwright(&desk, &serve));
    assert!(
        told.contains("there is no API key"),
        "a revoked one is none: {told}"
    );
    create(&desk, &["ci"]);
    let config = desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("\"local\"", "\"none\"")).expect("write");
    let told = refusal(&pullwright(&desk, &serve));
    assert!(told.contains("with the sandbox kind `none`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_while_a_server_runs() {
    let desk = Desk::new(GREET, "");
    let server = Serving::start(&desk, "127.0.0.1:0");
    assert_eq!(server.list(None).await, 200, "nobody needs a key");
    let first = create(&desk, &["first"]);
    let second = create(&desk, &["second"]);
    assert_eq!(server.list(None).await, 401);
    assert_eq!(server.list(Some(&first)).await, 200);
    said(&pullwright(&desk, &["keys", "revoke", "first"]));
    assert_eq!(server.list(Some(&first)).await, 401);
    assert_eq!(server.list(Some(&second)).await, 200);
    said(&pullwright(&desk, &["keys", "revoke", "second"]));
    assert_eq!(server.list(None).await, 200, "as before");
    server.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_reach_stays_closed_and_tells_no_secret() {
    let desk = Desk::new(GREET, "");
    let secret = create(&desk, &["ci", "--scope", "run,read,admin"]);
    let server = Serving::start(&desk, "0.0.0.0:0");
    assert_eq!(server.list(Some(&secret)).await, 200);
    assert_eq!(server.list(Some(&secret[..51])).await, 401);
    assert_eq!(server.get("/metrics", Some(&secret)).await, 200);
    assert_eq!(server.get("/v1/audit", Some(&secret)).await, 200);
    said(&pullwright(&desk, &["keys", "revoke", "ci"]));
    assert_eq!(server.list(Some(&secret)).await, 401);
    assert_eq!(
        server.list(None).await,
        401,
        "the last key's end opens nothing"
    );
    let log = server.end();

    let audit = said(&pullwright(&desk, &["audit", "--json"]));
    let refusals = audit.lines().filter(|line| line.contains("access.refused"));
    assert_eq!(refusals.count(), 3, "written before the end: {audit}");
    let keys = said(&pullwright(&desk, &["keys", "list", "--json"]));
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log says much"
    );
    for (what, text) in [
        ("the log", &log),
        ("the record", &audit),
        ("the list", &keys),
    ] {
        assert!(!text.contains(&secret[3..46]), "in {what}: {text}");
    }
    let files = files_below(&desk.path);
    assert!(files.iter().any(|path| path.ends_with("data/runs.sqlite")));
    for path in files {
        let bytes = std::fs::read(&path).expect("read");
        let found = bytes
            .windows(43)
            .any(|window| window == &secret.as_bytes()[3..46]);
        assert!(!found, "in {}", path.display());
    }
}
