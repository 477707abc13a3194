//! `pullwright runs resume`: a run of a killed command goes on in the terminal.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore;
use pullwright_protocol::RunId;
use serde_json::Value;

use super::command_line::{Desk, refusal};
use super::lab::processes_of;
use super::project::git;

/// The second call begins once, and is interrupted.
const SCRIPT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "mkdir ignored && touch ignored/begun && sleep 600", timeout_sec = 600 } } }]
[[replies]]
expect = { results_contain = ["interrupted"], user_contains = ["The server was restarted"] }
steps = [{ text = "Greet shortly" }]
"#;

/// A run of `pullwright code` amid its second call.
struct Begun {
    desk: Desk,
    process: Child,
    run: RunId,
}

impl Begun {
    fn new() -> Self {
        let desk = Desk::with_server_keys(SCRIPT, "", "lease_sec = 1");
        let mut command = desk.pullwright(&[
            "code",
            desk.remote(),
            "Greet",
            "--config",
            "plugins.toml",
            "--json",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("start pullwright");
        let shown = BufReader::new(process.stdout.take().expect("stdout"));
        let mut lines = shown.lines().map(|line| line.expect("a line"));
        let edited = lines.any(|line| line.contains("Tool: Edit"));
        assert!(edited, "it does not edit");
        // What it shows later must have somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        let list = desk.run(&["runs", "list", "--config", "plugins.toml", "--json"]);
        let record: Value = serde_json::from_slice(&list.stdout).expect("one run");
        let run = RunId(record["id"].as_str().expect("an id").to_owned());
        let begun = Self { desk, process, run };
        while !begun.workspace().join("ignored/begun").exists() {
            std::thread::yield_now();
        }
        begun
    }

    fn workspace(&self) -> PathBuf {
        let runs = self.desk.path.join("data/runs");
        runs.join(&self.run.0).join("workspace")
    }

    fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    fn resume(&self) -> Command {
        let run = &self.run.0;
        let arguments = ["runs", "resume", run, "--config", "plugins.toml", "--json"];
        self.desk.pullwright(&arguments)
    }

    async fn has_ended(&self) -> bool {
        let store = SqliteStore::open(self.desk.path.join("data/runs.sqlite")).await;
        let record = store.expect("open").get(&self.run).await.expect("get");
        record.expect("a record").outcome.is_some()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_local_path_goes_on_where_its_command_was_killed() {
    let mut begun = Begun::new();
    let held = refusal(&begun.resume().output().expect("start pullwright"));
    assert!(held.contains("by another process"), "{held}");
    begun.kill();
    let serving = serve_until_it_tells(&begun);
    assert!(serving.contains(&begun.run.0), "{serving}");
    assert!(!begun.has_ended().await, "a server leaves it alone");

    let resumed = begun.resume().output().expect("start pullwright");
    let shown = String::from_utf8(resumed.stdout).expect("UTF-8");
    let complaint = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success(), "{shown}{complaint}");
    let last: Value = serde_json::from_str(shown.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["outcome"], "branch only", "{shown}");
    let branch = last["branch"].as_str().expect("a branch");
    let file = format!("{branch}:src/greeting.txt");
    assert_eq!(git(&begun.desk.remote, &["show", &file]), "hi\n");
    assert_eq!(processes_of(&begun.run), []);

    let ended = refusal(&begun.resume().output().expect("start pullwright"));
    assert!(ended.contains("has ended"), "{ended}");
    begun.run = RunId("nobody".to_owned());
    let unknown = refusal(&begun.resume().output().expect("start pullwright"));
    assert!(unknown.contains("no run `nobody`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_cancelled_meanwhile_keeps_its_patch() {
    let mut begun = Begun::new();
    begun.kill();
    let named = |task| {
        [
            "runs",
            task,
            begun.run.0.as_str(),
            "--config",
            "plugins.toml",
        ]
    };
    let told = loop {
        let cancelled = begun.desk.run(&named("cancel"));
        let told = String::from_utf8(cancelled.stdout).expect("UTF-8");
        assert!(cancelled.status.success(), "{told}");
        // Until its lease has run out, somebody may be at work on it.
        if told.contains("nobody") {
            break told;
        }
    };
    assert!(told.contains("pullwright runs resume"), "{told}");
    let resumed = begun.resume().output().expect("start pullwright");
    let shown = String::from_utf8(resumed.stdout).expect("UTF-8");
    assert!(
        !resumed.status.success() && shown.contains("\"cancelled\""),
        "{shown}"
    );
    let patch = begun.desk.run(&named("patch")).stdout;
    let patch = String::from_utf8(patch).expect("UTF-8");
    assert!(patch.contains("-hello\n+hi\n"), "{patch}");
}

/// What a server says of the run that it leaves alone.
fn serve_until_it_tells(begun: &Begun) -> String {
    let arguments = [
        "serve",
        "--config",
        "plugins.toml",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = begun.desk.pullwright(&arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut serving = command.spawn().expect("start pullwright");
    let lines = BufReader::new(serving.stderr.take().expect("stderr")).lines();
    let mut lines = lines.map(|line| line.expect("a line"));
    let told = lines.find(|line| line.contains("pullwright runs resume"));
    serving.kill().expect("kill");
    serving.wait().expect("wait");
    told.expect("it tells")
}
