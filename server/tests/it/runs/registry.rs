//! `pullwright runs`, beside the processes that are at work.

use std::process::{Output, Stdio};

use pullwright::retention::Retirement;
use pullwright::store::SqliteStore;
use pullwright_core::config::Config;
use pullwright_core::log::now_ms;
use pullwright_protocol::{Event, LoggedEvent};
use serde_json::Value;

use super::command_line::Desk;
use super::lab::GREET;
use super::project::git;

fn runs(desk: &Desk, arguments: &[&str]) -> Output {
    let config = ["--config", "plugins.toml"];
    let arguments = ["runs"].iter().chain(arguments).chain(&config);
    let arguments: Vec<&str> = arguments.copied().collect();
    desk.pullwright(&arguments).output().expect("start")
}

fn said(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The reader goes away before anything is written, as `head` may.
fn has_enough_at_once(desk: &Desk, arguments: &[&str]) {
    let config = ["--config", "plugins.toml"];
    let arguments: Vec<&str> = [&["runs"], arguments, &config].concat();
    let mut command = desk.pullwright(&arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{arguments:?}");
}

fn code(desk: &Desk) -> std::process::Child {
    let remote = desk.remote.to_str().expect("UTF-8");
    let arguments = [
        "code",
        remote,
        "Greet\nshortly",
        "--config",
        "plugins.toml",
        "--json",
    ];
    let mut command = desk.pullwright(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start")
}

/// The only run's id, once it is there.
fn only_run(desk: &Desk) -> String {
    loop {
        let listed = runs(desk, &["list", "--json"]);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        if let Some(line) = text.lines().next() {
            let run: Value = serde_json::from_str(line).expect("JSON");
            return run["id"].as_str().expect("an id").to_owned();
        }
    }
}

#[test]
fn an_ended_run_can_be_looked_at_whole() {
    let desk = Desk::new(GREET, "");
    let none = refusal(&runs(&desk, &["list"]));
    assert!(none.contains("there are no runs yet"), "{none}");
    let shown = code(&desk).wait_with_output().expect("an end").stdout;
    let id = only_run(&desk);
    let table = said(&runs(&desk, &["list"]));
    assert!(
        table.contains("branch only") && table.contains("  Greet\n"),
        "{table}"
    );
    let short = table.split_whitespace().next().expect("an id");
    assert!(id.starts_with(short), "{id} {short}");

    for task in ["show", "tail"] {
        let again = said(&runs(&desk, &[task, short, "--json"]));
        assert_eq!(again.as_bytes(), shown, "{task}");
    }
    let people = said(&runs(&desk, &["show", short]));
    assert!(people.contains("done: branch only"), "{people}");
    let exported = said(&runs(&desk, &["export", short]));
    let events = exported.lines().map(serde_json::from_str::<LoggedEvent>);
    let events: Vec<LoggedEvent> = events.map(|event| event.expect("an event")).collect();
    assert!(matches!(events[0].event, Event::RunCreated { .. }));
    assert!(matches!(events.last().unwrap().event, Event::Done { .. }));
    let patch = said(&runs(&desk, &["patch", short]));
    std::fs::write(desk.path.join("change.patch"), patch).unwrap();
    let clone = desk.path.join("clone");
    git(
        &desk.path,
        &["clone", "--quiet", desk.remote.to_str().unwrap(), "clone"],
    );
    git(&clone, &["apply", "../change.patch"]);
    let greeting = std::fs::read_to_string(clone.join("src/greeting.txt")).unwrap();
    assert_eq!(greeting, "hi\n");

    for task in ["export", "patch"] {
        has_enough_at_once(&desk, &[task, short]);
    }

    let late = refusal(&runs(&desk, &["cancel", short]));
    assert!(late.contains("has ended already"), "{late}");
    let unknown = refusal(&runs(&desk, &["show", "ffffffff"]));
    assert!(unknown.contains("there is no run `ffffffff`"), "{unknown}");
}

#[test]
fn a_run_of_another_process_is_followed_and_ended() {
    let desk = Desk::new("[[replies]]\nsteps = [\"hang\"]\n", "");
    let working = code(&desk);
    let id = only_run(&desk);
    let tail = desk
        .pullwright(&["runs", "tail", &id, "--json", "--config", "plugins.toml"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let told = said(&runs(&desk, &["cancel", &id]));
    assert!(told.contains("is asked to end"), "{told}");
    let shown = working.wait_with_output().expect("an end").stdout;
    let followed = tail.wait_with_output().expect("an end").stdout;
    assert_eq!(followed, shown);
    let last = String::from_utf8_lossy(&shown)
        .lines()
        .last()
        .unwrap()
        .to_owned();
    let done: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(done["outcome"], "cancelled");
}

/// Another server has ended the run of one that died, and cannot reach this machine.
#[test]
fn what_is_here_of_an_ended_run_is_given_back_by_a_server_that_starts() {
    let desk = Desk::new(GREET, "");
    code(&desk).wait_with_output().expect("an end");
    let left = desk.path.join("data/runs").join(only_run(&desk));
    let unknown = desk.path.join("data/runs/unknown");
    for folder in [&left, &unknown] {
        std::fs::create_dir_all(folder.join("workspace")).unwrap();
    }
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        "plugins.toml",
    ];
    let mut server = desk.pullwright(&arguments).spawn().expect("start");
    while left.exists() {
        assert!(server.try_wait().expect("wait").is_none(), "it ended");
        std::thread::yield_now();
    }
    server.kill().expect("kill");
    server.wait().expect("an end");
    assert!(unknown.exists(), "nobody knows whose it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_run_can_be_looked_at_whole() {
    let keys = "keep_runs_days = 1\narchive_dir = \"archive\"";
    let desk = Desk::with_server_keys(GREET, "", keys);
    code(&desk).wait_with_output().expect("an end");
    let id = only_run(&desk);
    let looks = [
        vec!["show", &id, "--json"],
        vec!["tail", &id, "--json"],
        vec!["export", &id],
        vec!["patch", &id],
    ];
    let look = |more: &[&str]| {
        let each = looks
            .iter()
            .map(|task| said(&runs(&desk, &[task.as_slice(), more].concat())));
        each.collect::<Vec<_>>()
    };
    let before = look(&[]);
    archive_all(&desk).await;
    assert_eq!(look(&[]), before, "in the configured archive");
    assert_eq!(look(&["--archive", "archive"]), before);
    let listed = said(&runs(&desk, &["list", "--archive", "archive"]));
    assert_eq!(listed.trim(), id);
    let unknown = refusal(&runs(&desk, &["show", "ffff", "--archive", "archive"]));
    assert!(unknown.contains("holds no run `ffff`"), "{unknown}");
    let nowhere = refusal(&runs(&desk, &["show", &id, "--archive", "nowhere"]));
    assert!(nowhere.contains("`nowhere` cannot be read"), "{nowhere}");
    let file = desk.path.join(format!("archive/{id}.jsonl.gz"));
    std::fs::write(&file, "{\"seq\":1}\n").expect("write");
    let broken = refusal(&runs(&desk, &["export", &id]));
    assert!(
        broken.contains("line 1 of") && broken.contains("jsonl.gz"),
        "{broken}"
    );
    let late = refusal(&runs(&desk, &["cancel", &id]));
    assert!(late.contains("has ended already"), "{late}");
}

async fn archive_all(desk: &Desk) {
    let store = SqliteStore::open(desk.path.join("data/runs.sqlite")).await;
    let config = Config::load(&desk.path.join("plugins.toml")).expect("a configuration");
    let store = std::sync::Arc::new(store.expect("a store"));
    let retirement = Retirement::of(&config.server, store).expect("an archive");
    let in_two_days = now_ms() + 2 * 24 * 3600 * 1000;
    let passed = retirement.expect("a limit").pass(in_two_days).await;
    assert_eq!(passed.expect("a pass").retired, 1);
}
