//! `pullwright replay`: a run that is recorded, and what changes in it.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use pullwright_protocol::RunId;
use serde_json::{Value, json};

use super::command_line::Desk;
use super::crash::{Served, begin, serve, until, until_logged, until_told};
use super::lab::{GREET, write_config};
use super::messages::say;
use super::project::git;
use crate::peers::http_backend::{Behaviour, HttpBackend};

/// Looks, changes, breaks a check, is told so, and mends it.
const MENDED: &str = r#"
[[replies]]
steps = [
  { thinking = "Two looks at once." },
  { tool_call = { name = "read", arguments = { path = "src/greeting.txt" } } },
  { tool_call = { name = "grep", arguments = { pattern = "hello" } } },
  { tool_call = { name = "nothing", arguments = {} } },
]
[[replies]]
steps = [
  { fault = { kind = "overloaded", attempts = 2, retry_after_ms = 1 } },
  { text = "I change it." },
  { tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "HELLO" } } },
  { tool_call = { name = "bash", arguments = { command = "pwd; cat src/greeting.txt; exit 3" } } },
]
[[replies]]
steps = [{ text = "Shout" }]
[[replies]]
expect = { user_contains = ["! grep -q HELLO src/greeting.txt"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "HELLO", new_str = "good day" } } }]
[[replies]]
steps = [{ text = "Greet by day" }]
"#;
const CHECKED: &str =
    "[setup]\nrun = [\"true\"]\n[checks]\nrun = [\"! grep -q HELLO src/greeting.txt\"]\n";

/// A conversation that becomes too long for its model.
const LONG: &str = r##"
context_tokens = 24000
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' a" } } }]
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "head -c 29000 /dev/zero | tr '\\0' b; echo the-last-words" } } }]
[[replies]]
SUMMARY
[[episodes]]
user_contains = "starts anew here"
[[episodes.replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[episodes.replies]]
steps = [{ text = "Greet shortly" }]
"##;

/// A tool server in a few lines of shell, whose only tool says `ANSWER`.
const TELLER: &str = r#"#!/bin/sh
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case "$line" in
    *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"tools":[{"name":"ask","description":"Tells.","inputSchema":{"type":"object"}}]}}' ;;
    *'"tools/call"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"ANSWER"}]}}' ;;
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"teller","version":"1"}}}' ;;
    *'"server/discover"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"unknown"}}' ;;
  esac
done
"#;
const ASK: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "teller__ask", arguments = { of = "it" } } }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

/// Its first call takes a while, and so do the checks.
const SPOKEN_TO: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "bash", arguments = { command = "sleep 2" } } }]
[[replies]]
expect = { user_contains = ["say it in French"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "salut" } } }]
[[replies]]
steps = [{ text = "Greet in French" }]
[[replies]]
expect = { user_contains = ["and louder"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "salut", new_str = "SALUT" } } }]
[[replies]]
steps = [{ text = "Greet loudly" }]
"#;

/// Its second reply takes a while, at first.
const GOES_ON: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [
  { text = "I think about it. " },
  { delay_ms = 3000 },
  { tool_call = { name = "bash", arguments = { command = "sed -i s/hello/hi/ src/greeting.txt; cat src/greeting.txt" } } },
]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

/// Part of the event that says so.
const CALLS_BASH: &str = r#""tool":"bash""#;

const INTERRUPTED: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [
  { tool_call = { name = "bash", arguments = { command = "sleep 600", timeout_sec = 600 } } },
  { tool_call = { name = "read", arguments = { path = "src/greeting.txt" } } },
]
[[replies]]
expect = { results_contain = ["interrupted"], user_contains = ["The server was restarted"] }
steps = [{ text = "Greet shortly" }]
"#;

/// Records a run and answers its id.
fn record(desk: &Desk) -> String {
    desk.run(&[
        "code",
        desk.remote(),
        "Greet",
        "--config",
        "plugins.toml",
        "--json",
    ]);
    let listed = desk.run(&["runs", "list", "--json", "--config", "plugins.toml"]);
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let latest = listed.lines().next().expect("a run");
    let latest: Value = serde_json::from_str(latest).expect("JSON");
    latest["id"].as_str().expect("an id").to_owned()
}

fn export(desk: &Desk, run: &str) -> String {
    let exported = desk.run(&["runs", "export", run, "--config", "plugins.toml"]);
    String::from_utf8(exported.stdout).expect("UTF-8")
}

fn replay(desk: &Desk, arguments: &[&str]) -> Output {
    let config = ["--config", "plugins.toml"];
    desk.run(&[&["replay"], arguments, &config].concat())
}

/// Its exit code, and what it says.
fn told(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    (output.status.code(), said.concat())
}

fn is_identical(output: &Output) -> String {
    let (code, said) = told(output);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("identical: "), "{said}");
    said
}

fn differs(output: &Output) -> String {
    let (code, said) = told(output);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("differs: "), "{said}");
    said
}

fn is_refused(output: &Output, why: &str) {
    let (code, said) = told(output);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("could not be replayed") && said.contains(why),
        "{said}"
    );
}

#[test]
fn a_run_is_the_same_again_and_pushes_nothing() {
    let desk = Desk::new(MENDED, CHECKED);
    let run = record(&desk);
    let branches = || git(&desk.remote, &["for-each-ref"]);
    let before = branches();
    assert_eq!(
        before.lines().count(),
        2,
        "main and the run's own: {before}"
    );
    let said = is_identical(&replay(&desk, &[&run[..13]]));
    assert!(said.contains("7 replies, 6 tool calls, 3 checks"), "{said}");
    is_identical(&replay(&desk, &[&run, "--tools", "recorded"]));
    assert_eq!(branches(), before);
    let log = desk.path.join("run.jsonl");
    std::fs::write(&log, export(&desk, &run)).expect("write");
    // Without the mirror, from any clone.
    std::fs::remove_dir_all(desk.path.join("data/git")).expect("remove");
    is_refused(&replay(&desk, &[&run]), "--repository");
    for tools in ["real", "recorded"] {
        let from_file = [
            "--log",
            "run.jsonl",
            "--repository",
            desk.remote(),
            "--tools",
            tools,
        ];
        is_identical(&replay(&desk, &from_file));
    }
    assert_eq!(branches(), before);
}

#[test]
fn a_tool_that_behaves_otherwise_is_found() {
    let desk = Desk::new(ASK, "[tools.teller]\ncommand = \"./teller\"\n");
    let program = desk.path.join("teller");
    let tell = |answer: &str| {
        std::fs::write(&program, TELLER.replace("ANSWER", answer)).expect("write");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("set the mode");
    };
    tell("one thing");
    let run = record(&desk);
    is_identical(&replay(&desk, &[&run]));
    tell("another thing");
    let said = differs(&replay(&desk, &[&run]));
    assert!(said.contains("item 3 of request 2"), "{said}");
    assert!(
        said.contains("the result of teller__ask {\"of\":\"it\"}"),
        "{said}"
    );
    assert!(
        said.contains("  recorded: one thing\n  now:      another thing"),
        "{said}"
    );
    is_identical(&replay(&desk, &[&run, "--tools", "recorded"]));
    tell("one thing");
    is_identical(&replay(&desk, &[&run]));
}

#[test]
fn a_tool_on_the_host_is_not_called_again() {
    let row = "[tools.teller]\ncommand = \"./teller\"\nruns = \"host\"\n";
    let desk = Desk::new(ASK, row);
    let program = desk.path.join("teller");
    std::fs::write(&program, TELLER.replace("ANSWER", "one thing")).expect("write");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("set the mode");
    let run = record(&desk);
    std::fs::remove_file(&program).expect("remove");
    let said = is_identical(&replay(&desk, &[&run]));
    assert!(said.contains("2 tool calls"), "{said}");
}

#[test]
fn other_checks_and_other_tools_are_found() {
    let desk = Desk::new(GREET, "[checks]\nrun = [\"grep -q h src/greeting.txt\"]\n");
    let run = record(&desk);
    let config = desk.path.join("plugins.toml");
    let before = std::fs::read_to_string(&config).expect("read");
    let after = |from: &str, to: &str| {
        assert!(before.contains(from));
        std::fs::write(&config, before.replace(from, to)).expect("write");
        differs(&replay(&desk, &[&run]))
    };
    let checks = after("grep -q h", "grep -q hello");
    assert!(checks.contains("differs: the commands"), "{checks}");
    assert!(checks.contains("exit code 1"), "{checks}");
    let tools = after(
        "builtin = \"git\"",
        "builtin = \"git\"\ndisabled_tools = [\"log\"]",
    );
    assert!(tools.contains("the tool `git__"), "{tools}");
    let turns = after("max_usd = \"none\"", "max_usd = \"none\"\nmax_turns = 1");
    assert!(turns.contains("budget reached"), "{turns}");
}

#[test]
fn a_conversation_that_started_anew_does_so_again() {
    let summary =
        "steps = [{ text = \"NOTES\" }, { usage = { input_tokens = 20500, output_tokens = 20 } }]";
    let compacted = "steps = [{ compaction = \"opaque\" }, { usage = { input_tokens = 20500, output_tokens = 20 } }]";
    for (summary, head) in [(summary, ""), (compacted, "compacts = true\n")] {
        let script = format!("{head}{}", LONG.replace("SUMMARY", summary));
        let desk = Desk::new(&script, "");
        let run = record(&desk);
        assert!(export(&desk, &run).contains("conversation_reset"));
        is_identical(&replay(&desk, &[&run]));
        is_identical(&replay(&desk, &[&run, "--tools", "recorded"]));
    }
}

#[test]
fn a_run_that_failed_fails_again() {
    let fault = "[[replies]]\nsteps = [{ text = \"Half a\" }, { fault = { kind = \"budget\" } }]\n";
    let edit = GREET.split("[[replies]]").nth(1).expect("an edit");
    let desk = Desk::new(&format!("[[replies]]{edit}{fault}"), "");
    let run = record(&desk);
    assert!(export(&desk, &run).contains("failed(provider_budget)"));
    is_identical(&replay(&desk, &[&run]));
    is_identical(&replay(&desk, &[&run, "--tools", "recorded"]));
}

#[test]
fn a_run_that_was_stopped_stops_where_its_recording_ends() {
    let desk = Desk::new(GREET, "[budget]\nmax_turns = 1\nmax_usd = \"none\"\n");
    let run = record(&desk);
    assert!(export(&desk, &run).contains("budget reached"));
    is_identical(&replay(&desk, &[&run]));
    let config = desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("max_turns = 1", "max_turns = 9")).expect("write");
    is_identical(&replay(&desk, &[&run]));
}

/// Speaks once a call is under way, and once the work is checked.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_said_is_said_again_at_the_same_place() {
    let checks = "[checks]\nrun = [\"sleep 2\"]\n";
    let office = Office::new(SPOKEN_TO, checks).await;
    let mut server = serve(&office.desk);
    let run = begin(&server.address, &office.repository, json!({})).await;
    until_logged(&server.address, &run, CALLS_BASH).await;
    say(
        &server.address,
        &run.0,
        json!({ "message": "say it in French" }),
    )
    .await;
    until_told(&server.address, &run, "(on the change)").await;
    say(&server.address, &run.0, json!({ "message": "and louder" })).await;
    office.ends(&mut server, &run).await;
    let log = export(&office.desk, &run.0);
    assert_eq!(log.matches("message_heard").count(), 2, "{log}");
    let said = is_identical(&replay(&office.desk, &[&run.0]));
    assert!(said.contains("5 replies"), "{said}");
    is_identical(&replay(&office.desk, &[&run.0, "--tools", "recorded"]));
    // Without the second one, nothing made the model go on.
    let lines = log.lines().filter(|line| !line.contains("and louder"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(office.desk.path.join("run.jsonl"), lines).expect("write");
    differs(&replay(
        &office.desk,
        &["--log", "run.jsonl", "--repository", office.desk.remote()],
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_went_on_is_one_conversation() {
    let office = Office::new(GOES_ON, "[checks]\nrun = [\"true\"]\n").await;
    let run = office.left_at("I think about it").await;
    office.ends(&mut serve(&office.desk), &run).await;
    let log = export(&office.desk, &run.0);
    assert!(log.contains("\"resumed\"") && log.contains("The server was restarted"));
    is_identical(&replay(&office.desk, &[&run.0]));
    is_identical(&replay(&office.desk, &[&run.0, "--tools", "recorded"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_interrupted_is_played_as_recorded() {
    let office = Office::new(INTERRUPTED, "").await;
    let run = office.left_at(CALLS_BASH).await;
    office.ends(&mut serve(&office.desk), &run).await;
    is_refused(
        &replay(&office.desk, &[&run.0]),
        "a call of `bash` was interrupted when its server stopped",
    );
    is_identical(&replay(&office.desk, &[&run.0, "--tools", "recorded"]));
}

/// The next server is another machine, as far as the sandbox goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_sandbox_was_lost_is_played_as_recorded() {
    let office = Office::new(GOES_ON, "[checks]\nrun = [\"true\"]\n").await;
    let run = office.left_at("I think about it").await;
    std::fs::remove_dir_all(office.desk.path.join("data/runs")).expect("remove");
    office.ends(&mut serve(&office.desk), &run).await;
    let log = export(&office.desk, &run.0);
    assert!(log.contains("sandbox_lost"), "{log}");
    is_refused(
        &replay(&office.desk, &[&run.0]),
        "the run's sandbox was lost",
    );
    is_identical(&replay(&office.desk, &[&run.0, "--tools", "recorded"]));
}

/// A desk whose project servers can fetch.
struct Office {
    desk: Desk,
    repository: String,
    _backend: HttpBackend,
}

impl Office {
    async fn new(script: &str, sections: &str) -> Self {
        let desk = Desk::new(script, "");
        let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
        let sections = format!("{sections}[server]\ndata_dir = \"data\"\nlease_sec = 1\n");
        write_config(&desk.path, &sections, &backend.host());
        Self {
            repository: format!("{}/owner/project.git", backend.origin()),
            desk,
            _backend: backend,
        }
    }

    /// A run whose server was killed once the log had this.
    async fn left_at(&self, part: &str) -> RunId {
        let mut server = serve(&self.desk);
        let run = begin(&server.address, &self.repository, json!({})).await;
        until_logged(&server.address, &run, part).await;
        server.process.kill().expect("kill");
        server.process.wait().expect("wait");
        run
    }

    /// Lets a run end well, and its server with it.
    async fn ends(&self, server: &mut Served, run: &RunId) {
        let ended = |seen: &Value| seen["outcome"].is_string();
        let ended = until(&server.address, run, ended).await;
        server.process.kill().expect("kill");
        server.process.wait().expect("wait");
        let log = export(&self.desk, &run.0);
        assert_eq!(ended["outcome"], "branch only", "{log}");
    }
}

#[test]
fn both_logs_can_be_kept() {
    let desk = Desk::new(GREET, "");
    let run = record(&desk);
    let kept = replay(&desk, &[&run, "--tools", "recorded", "--keep"]);
    is_identical(&kept);
    let said = String::from_utf8(kept.stderr).expect("UTF-8");
    let folder = said.trim().rsplit(' ').next().expect("a folder");
    let folder = std::path::Path::new(folder);
    for log in ["recorded.jsonl", "replayed.jsonl"] {
        let log = std::fs::read_to_string(folder.join(log)).expect(log);
        assert!(
            log.lines().count() > 5 && log.contains("\"type\":\"done\""),
            "{log}"
        );
    }
    std::fs::remove_dir_all(folder).expect("remove");
}

#[test]
fn what_cannot_be_replayed_is_told_in_a_line() {
    let desk = Desk::new(GREET, "");
    let run = record(&desk);
    let log = export(&desk, &run);
    let lines: Vec<&str> = log.lines().collect();
    let from = |text: String, why: &str| {
        std::fs::write(desk.path.join("log.jsonl"), text).expect("write");
        let arguments = ["--log", "log.jsonl", "--repository", desk.remote()];
        is_refused(&replay(&desk, &arguments), why);
    };
    from(
        "no event\n".to_owned(),
        "line 1 of `log.jsonl` is not an event",
    );
    from(String::new(), "does not begin with a run's first event");
    from(
        lines[1..].join("\n"),
        "does not begin with a run's first event",
    );
    from(lines[..lines.len() - 1].join("\n"), "has not ended yet");
    let early = [lines[0], lines[lines.len() - 1]].join("\n");
    from(early, "before a model was asked anything");
    let commit = log
        .split("\"commit\":\"")
        .nth(1)
        .and_then(|rest| rest.get(..40));
    let elsewhere = log.replace(commit.expect("a commit"), &"ab".repeat(20));
    from(elsewhere, "abab");
    is_refused(&replay(&desk, &["ffff"]), "there is no run `ffff`");
    is_refused(&replay(&desk, &["--log", "none.jsonl"]), "none.jsonl");
    is_refused(
        &replay(&desk, &[&run, "--repository", "nowhere"]),
        "nowhere",
    );
    let (code, usage) = told(&replay(&desk, &[]));
    assert_eq!(code, Some(2));
    assert!(usage.contains("Usage"), "{usage}");
    std::fs::remove_dir_all(desk.path.join("data/git")).expect("remove");
    is_refused(&replay(&desk, &[&run]), "is not in this machine's mirror");
}
