//! Our servers, each a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use pullwright_protocol::LoggedEvent;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::ground::{APP_ID, folder};
use super::http::API;
use crate::main_job::app_keys;
use crate::peers::emulate::{REVIEWER, ROBOT_TOKEN, TOKEN};
use crate::runs::lab::PROGRAM;
use crate::served::listening;
use crate::support::http_client;

/// The longest run waits for git to say something for half a minute, and a busy machine takes its time.
const JOB_LIMIT: Duration = Duration::from_secs(240);

const SCRIPT: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "greeting.txt", old_str = "hi", new_str = "hey" } } }]
[[replies]]
steps = [{ text = "Greet loosely" }]
"#;

/// The label of pull requests that get details.
pub(super) const LABEL: &str = "bot";

/// What servers share: the configuration, and where their data folders are.
pub(super) struct Desk {
    folder: TempDir,
    host: String,
    as_app: bool,
    /// How long a run may wait in all.
    max_parked_minutes: f64,
    token: &'static str,
    /// More lines of the configuration.
    more: String,
    variables: Vec<(String, String)>,
}

/// A running server.
pub(super) struct Server {
    process: Child,
    address: String,
}

impl Desk {
    /// With the forge behind `host`, as a GitHub App or with a token.
    pub(super) fn new(host: &str, as_app: bool, max_parked_minutes: f64) -> Self {
        let folder = folder();
        std::fs::write(folder.path().join("script.toml"), SCRIPT).unwrap();
        std::fs::write(folder.path().join("app.pem"), app_keys::ours()).unwrap();
        Self {
            folder,
            host: host.to_owned(),
            as_app,
            max_parked_minutes,
            token: TOKEN,
            more: String::new(),
            variables: Vec::new(),
        }
    }

    /// With the token of somebody who may only fork.
    pub(super) fn with_a_forker_s_token(mut self) -> Self {
        self.token = ROBOT_TOKEN;
        self
    }

    /// With labels and people for pull requests.
    pub(super) fn with_details(mut self) -> Self {
        self.more = format!(
            "[pull_request]\nlabels = [\"{LABEL}\"]\nassignees = [\"{REVIEWER}\"]\nreviewers = [\"{REVIEWER}\"]\n"
        );
        self
    }

    /// With commits that GitHub makes.
    pub(super) fn with_verified_commits(mut self, verified: &str) -> Self {
        self.more = format!("[commit]\nverified = \"{verified}\"\n");
        self
    }

    /// With the runs in a database.
    pub(super) fn on(mut self, database: String) -> Self {
        self.variables.push(("DATABASE_URL".to_owned(), database));
        self
    }

    /// Starts a server whose data folder has this name.
    pub(super) async fn serve(&self, data: &str) -> Server {
        let mut command = self.command(data);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]);
        let mut process = command
            .arg(self.config(data))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (address, _) = listening(&mut process).await;
        Server { process, address }
    }

    /// What the program says to these arguments and the configuration.
    pub(super) async fn run(&self, data: &str, arguments: &[&str]) -> String {
        let mut command = self.command(data);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config(data));
        let output = tokio::time::timeout(JOB_LIMIT, command.output()).await;
        let output = output.expect("it ends").unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    pub(super) fn has_database(&self) -> bool {
        !self.variables.is_empty()
    }

    fn command(&self, _data: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_remove("DATABASE_URL")
            .env("GITHUB_TOKEN", self.token)
            .envs(self.variables.clone())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Waits are short: a call waits for a limit for a second itself. An answer may take longer, since a busy machine is
    /// no outage.
    fn config(&self, data: &str) -> PathBuf {
        let account = match self.as_app {
            true => format!("app_id = {APP_ID}\napp_key_file = \"app.pem\""),
            false => "env_vars = [\"GITHUB_TOKEN\"]".to_owned(),
        };
        let (host, parked, more) = (&self.host, self.max_parked_minutes, &self.more);
        let text = format!(
            r#"
            [agent]
            provider = "script"
            [budget]
            max_usd = "none"
            max_parked_minutes = {parked}
            [repositories]
            hosts = ["{host}"]
            [checks]
            run = []
            [providers.script]
            wire_api = "scripted"
            script = "script.toml"
            [tools.fs]
            builtin = "fs"
            [tools.github]
            builtin = "github"
            runs = "host"
            base_url = "http://{host}{API}"
            hosts = ["{host}"]
            request_timeout_sec = 5
            longest_wait_sec = 1
            {account}
            [sandbox]
            kind = "local"
            [server]
            data_dir = "{data}"
            lease_sec = 1
            {more}"#
        );
        let file = self.folder.path().join(format!("{data}.toml"));
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Server {
    /// `POST /code`: the run's id and all its frames, which end with the stream.
    pub(super) async fn code(&self, asked: &Value) -> (String, Vec<Value>) {
        let request = http_client()
            .post(format!("{}/code", self.address))
            .header("content-type", "application/json")
            .body(asked.to_string());
        let whole = async {
            let answer = request.send().await.unwrap();
            let run = answer.headers().get("x-run-id").cloned();
            (run, answer.text().await.unwrap())
        };
        let whole = tokio::time::timeout(JOB_LIMIT, whole).await;
        let (run, text) = whole.unwrap_or_else(|_| panic!("no end in {JOB_LIMIT:?}: {asked}"));
        let run = run.unwrap_or_else(|| panic!("no run: {text}"));
        (run.to_str().unwrap().to_owned(), frames_in(&text))
    }

    /// All frames of a run, which end with its end.
    pub(super) async fn frames(&self, run: &str) -> Vec<Value> {
        let path = format!("/v1/runs/{run}/stream");
        let whole = tokio::time::timeout(JOB_LIMIT, self.text(&path)).await;
        let text = whole.unwrap_or_else(|_| panic!("no end in {JOB_LIMIT:?} of {run}"));
        frames_in(&text)
    }

    /// Starts a run and leaves it to itself.
    pub(super) async fn begin(&self, repository: &str) -> String {
        let asked = json!({"repoUrl": repository, "prompt": "Greet shortly"});
        self.start("/v1/runs", &asked).await
    }

    /// Says something more to a run that has ended; the id of the run that follows it.
    pub(super) async fn say(&self, run: &str, message: &str) -> String {
        let path = format!("/v1/runs/{run}/messages");
        self.start(&path, &json!({"message": message})).await
    }

    async fn start(&self, path: &str, asked: &Value) -> String {
        let request = http_client().post(format!("{}{path}", self.address));
        let request = request.header("content-type", "application/json");
        let answer = request.body(asked.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let id = answer["id"].as_str();
        id.unwrap_or_else(|| panic!("{path}: {answer}")).to_owned()
    }

    /// The run's events, up to the first that is enough.
    pub(super) async fn events(
        &self,
        run: &str,
        enough: impl Fn(&LoggedEvent) -> bool,
    ) -> Vec<LoggedEvent> {
        let request = http_client().get(format!("{}/v1/runs/{run}/events", self.address));
        let reading = async {
            let answer = request.header("accept", "text/event-stream").send();
            let mut body = answer.await.unwrap().bytes_stream();
            let (mut text, mut events) = (Vec::new(), Vec::new());
            while let Some(Ok(bytes)) = body.next().await {
                text.extend_from_slice(&bytes);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let Some(json) = line.strip_prefix(b"data: ") else {
                        continue;
                    };
                    let logged: LoggedEvent = serde_json::from_slice(json).unwrap();
                    let is_enough = enough(&logged);
                    events.push(logged);
                    if is_enough {
                        return events;
                    }
                }
            }
            panic!("the stream ended: {events:#?}");
        };
        let read = tokio::time::timeout(JOB_LIMIT, reading).await;
        read.expect("the run comes so far")
    }

    pub(super) async fn record(&self, run: &str) -> Value {
        let text = self.text(&format!("/v1/runs/{run}")).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Waits until nobody is at work here.
    pub(super) async fn idle(&self) {
        let idle = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                if self
                    .text("/metrics")
                    .await
                    .contains("pullwright_runs_active 0")
                {
                    return;
                }
            }
        };
        tokio::time::timeout(JOB_LIMIT, idle)
            .await
            .expect("it is idle");
    }

    pub(super) async fn cancel(&self, run: &str) {
        let url = format!("{}/v1/runs/{run}/cancel", self.address);
        let answer = http_client().post(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }

    pub(super) async fn patch(&self, run: &str) -> Option<String> {
        let url = format!("{}/v1/runs/{run}/patch", self.address);
        let answer = http_client().get(url).send().await.unwrap();
        match answer.status() {
            StatusCode::NOT_FOUND => None,
            status => {
                assert_eq!(status, StatusCode::OK);
                Some(answer.text().await.unwrap())
            }
        }
    }

    pub(super) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.address);
        let answer = http_client().get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// As `kill -9` does.
    pub(super) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

fn frames_in(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap())
        .collect()
}
