//! Git hosts without a forge: what git authenticates with there, and what becomes of a change.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::command_line::Desk;
use super::lab::{GREET, PROGRAM, in_time, write_config};
use super::project::git;
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::served::listening;
use crate::support::http_client;

const USER: &str = "ci";
const PASSWORD: &str = "canary-of-the-office";
const VARIABLE: &str = "OFFICE_GIT_PASSWORD";

/// A git host, and a server of ours that is a process of its own.
struct Office {
    desk: Desk,
    host: HttpBackend,
    address: String,
    _process: Child,
}

impl Office {
    /// `rows` complete the configuration; `{HOST}` is the git host.
    async fn open(script: &str, rows: &str, remote: Behaviour, variable: Option<&str>) -> Self {
        let desk = Desk::new(script, "");
        git(&desk.remote, &["config", "http.receivepack", "true"]);
        let host = HttpBackend::start(desk.path.join("remotes"), remote).await;
        let sections = format!("{rows}\n[server]\ndata_dir = \"data\"\n");
        write_config(&desk.path, &sections, &host.host());
        let mut command = command(&desk);
        command.args([
            "serve",
            "--config",
            "plugins.toml",
            "--listen",
            "127.0.0.1:0",
        ]);
        match variable {
            Some(value) => command.env(VARIABLE, value),
            None => command.env_remove(VARIABLE),
        };
        let mut process = command.spawn().unwrap();
        let (address, _) = listening(&mut process).await;
        Self {
            desk,
            host,
            address,
            _process: process,
        }
    }

    /// The frames of a run on the git host, and the text of its log.
    async fn run(&self) -> (Vec<Value>, String) {
        self.run_on(&self.host.url("owner/project.git")).await
    }

    async fn run_on(&self, repository: &str) -> (Vec<Value>, String) {
        let body = json!({"repoUrl": repository, "prompt": "Greet shortly"}).to_string();
        let request = http_client()
            .post(format!("{}/code", self.address))
            .header("Content-Type", "application/json")
            .body(body);
        let answer = in_time(request.send()).await.unwrap();
        let run = answer.headers().get("x-run-id").cloned();
        let text = in_time(answer.text()).await.unwrap();
        let run = run.unwrap_or_else(|| panic!("{text}"));
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let frames = data.map(|json| serde_json::from_str(json).unwrap());
        let url = format!("{}/v1/runs/{}/events", self.address, run.to_str().unwrap());
        let log = in_time(http_client().get(url).send()).await.unwrap();
        (frames.collect(), in_time(log.text()).await.unwrap())
    }

    fn branches(&self) -> String {
        git(
            &self.desk.remote,
            &[
                "for-each-ref",
                "--format=%(refname:short)",
                "refs/heads/pullwright",
            ],
        )
    }
}

fn command(desk: &Desk) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(&desk.path)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn row(origin: &str) -> String {
    format!(
        "[credentials.office]\norigin = \"{origin}\"\nusername = \"{USER}\"\npassword_env = \"{VARIABLE}\"\n"
    )
}

fn asks() -> Behaviour {
    Behaviour::Password {
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

/// The run ended so, before its model was asked, and said this.
fn failed(frames: &[Value], outcome: &str, said: &str) {
    let done = frames.last().unwrap();
    assert_eq!(done["outcome"], outcome, "{frames:#?}");
    let summary = done["summary"].as_str().unwrap();
    assert!(summary.contains(said), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_forge_gets_a_branch_with_a_password() {
    let rows = row("http://{HOST}");
    let office = Office::open(GREET, &rows, asks(), Some(PASSWORD)).await;
    let (frames, log) = office.run().await;
    assert_eq!(
        frames.last().unwrap()["outcome"],
        "branch only",
        "{frames:#?}"
    );
    let branch = frames.last().unwrap()["branch"].as_str().unwrap();
    assert_eq!(office.branches().trim(), branch);
    assert!(office.host.authorized() > 0);
    // The server's environment holds it, where it was put, and nobody's command line.
    let leaks = office.host.leaks();
    assert!(
        leaks.iter().all(|leak| !leak.ends_with("cmdline")),
        "{leaks:?}"
    );
    assert!(!log.contains(PASSWORD));
    assert!(!Value::from(frames).to_string().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_does_not_do_costs_nothing() {
    // A model that is asked says nothing and fails.
    let office = Office::open("replies = []", &row("http://{HOST}"), asks(), Some("wrong")).await;
    let (frames, log) = office.run().await;
    failed(&frames, "failed(credential)", "the credential was refused");
    assert!(!log.contains("wrong\""), "{log}");

    let office = Office::open("replies = []", &row("http://{HOST}"), asks(), None).await;
    let (frames, _) = office.run().await;
    failed(&frames, "failed(credential)", VARIABLE);
    let mut check = command(&office.desk);
    check
        .args(["config", "check", "--config", "plugins.toml"])
        .env_remove(VARIABLE)
        .stdout(Stdio::piped());
    let said = in_time(check.output()).await.unwrap().stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(
        said["config"]["credentials"]["office"]["origin"],
        office.host.origin()
    );
    let missing = json!([{"variable": VARIABLE, "row": "credentials.office"}]);
    assert_eq!(said["missingVariables"], missing);
    assert_eq!(office.host.seen().len(), 0, "not even asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_offered_to_no_other_origin() {
    let rows = row("http://127.0.0.1:9");
    let office = Office::open("replies = []", &rows, asks(), Some(PASSWORD)).await;
    let (frames, _) = office.run().await;
    failed(&frames, "failed(repository)", "a row of [credentials]");
    let seen = office.host.seen();
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|request| request.authorization.is_none()),
        "{seen:?}"
    );

    // Nor where its own origin sends git.
    let other = HttpBackend::start(office.desk.path.join("remotes"), asks()).await;
    let redirects = Behaviour::Redirect(other.origin());
    let rows = row("http://{HOST}");
    let office = Office::open("replies = []", &rows, redirects, Some(PASSWORD)).await;
    let (frames, _) = office.run().await;
    failed(&frames, "failed(repository)", "redirects");
    assert_eq!(other.seen().len(), 0);
}

/// Git's own programs on both sides; what stands between them is not OpenSSH but a script, which runs the
/// command that git would have had run at the other end.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_by_ssh_gets_a_branch() {
    let desk = Desk::new(GREET, "");
    let programs = desk.path.join("programs");
    std::fs::create_dir(&programs).unwrap();
    let ssh = programs.join("ssh");
    let script = format!(
        "#!/bin/sh\nfor last; do :; done\nprintf '%s\\n' \"$*\" >> {0}/asked\n\
         exec sh -c \"$(printf '%s' \"$last\" | sed \"s#'/#'{0}/remotes/#\")\"\n",
        desk.path.display()
    );
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = desk.path.join("plugins.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let by_ssh = text.replace("\"github.com\"", "\"ssh://127.0.0.1\"");
    assert_ne!(text, by_ssh);
    std::fs::write(&config, by_ssh).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut code = command(&desk);
    code.args([
        "code",
        "ssh://git@127.0.0.1/owner/project.git",
        "Greet shortly",
    ])
    .args(["--json", "--config", "plugins.toml"])
    .env("PATH", path)
    .stdout(Stdio::piped());
    let output = in_time(code.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaint}");
    assert!(told.contains("\"outcome\":\"branch only\""), "{told}");
    let asked = std::fs::read_to_string(desk.path.join("asked")).unwrap();
    for word in [
        "git-upload-pack",
        "git-receive-pack",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
    ] {
        assert!(asked.contains(word), "{asked}");
    }
}
