//! A GitLab, a server of ours that is a process of its own, and the example plugin between them.

use std::path::Path;
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::double::{Gitlab, PROJECT, TOKEN};
use crate::peers::process::Peers;
use crate::runs::command_line::Desk;
use crate::runs::lab::{PROGRAM, in_time, write_config};
use crate::runs::project::git;
use crate::served::listening;
use crate::support::http_client;

pub(super) const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/gitlab-forge");

/// Another forge, whose host is none of the tests': nobody may ask it for anything.
const GITHUB: &str = "[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\n\
    base_url = \"http://127.0.0.1:9\"\nhosts = [\"github.example\"]\nenv_vars = [\"GITHUB_TOKEN\"]\n";

/// Plays the plugin's part until it shall open a merge request, and dies then.
const DIES: &str = "import os, sys\nsys.path.insert(0, os.environ['EXAMPLE'])\nimport server\n\
    server.gitlab.post = lambda *_: os._exit(1)\nserver.server.run()\n";

pub(super) struct House {
    pub(super) desk: Desk,
    pub(super) gitlab: Gitlab,
    token: &'static str,
    server: Option<(Child, String)>,
}

/// What the plugin is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Plugin {
    /// The example as it is.
    Whole,
    /// The example, which dies when it shall open a merge request.
    Dying,
}

impl House {
    /// Without a server yet.
    pub(super) async fn new(peers: &Peers, script: &str) -> Self {
        let desk = Desk::new(script, "");
        let moved = desk.path.join(format!("remotes/{PROJECT}.git"));
        std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
        std::fs::rename(&desk.remote, &moved).unwrap();
        git(&moved, &["config", "http.receivepack", "true"]);
        let gitlab = Gitlab::start(desk.path.join("remotes")).await;
        let house = Self {
            desk,
            gitlab,
            token: TOKEN,
            server: None,
        };
        house.write_config(peers, Plugin::Whole);
        house
    }

    /// As [`House::new`], with another token in the variable.
    pub(super) fn with_token(mut self, token: &'static str) -> Self {
        self.token = token;
        self
    }

    /// The example's own row, at the double's address.
    pub(super) fn write_config(&self, peers: &Peers, plugin: Plugin) {
        let mut program = Path::new(EXAMPLE).join("server.py");
        let mut row = std::fs::read_to_string(Path::new(EXAMPLE).join("plugins.toml")).unwrap();
        if plugin == Plugin::Dying {
            program = self.desk.path.join("dying.py");
            std::fs::write(&program, DIES).unwrap();
        }
        for (written, here) in [
            ("\"python3\"", format!("\"{}\"", peers.python().display())),
            (
                "examples/gitlab-forge/server.py",
                program.display().to_string(),
            ),
            ("https://gitlab.example.com", self.gitlab.url()),
            ("gitlab.example.com", self.gitlab.host()),
            (
                "env = { ",
                format!("env = {{ PYTHONDONTWRITEBYTECODE = \"1\", EXAMPLE = \"{EXAMPLE}\", "),
            ),
        ] {
            assert!(row.contains(written), "{written}\n{row}");
            row = row.replace(written, &here);
        }
        let sections = format!("{row}\n{GITHUB}[server]\ndata_dir = \"data\"\n");
        write_config(&self.desk.path, &sections, &self.gitlab.host());
    }

    pub(super) async fn serve(&mut self) {
        let mut command = Command::from(self.pullwright(&["serve", "--listen", "127.0.0.1:0"]));
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let (address, _) = listening(&mut process).await;
        self.server = Some((process, address));
    }

    /// `POST /code`, and the run's id and frames.
    pub(super) async fn code(&self, fields: Value) -> (String, Vec<Value>) {
        let mut body = json!({"repoUrl": self.gitlab.clone_url(), "prompt": "Greet shortly"});
        let more = fields.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        let answer = self.post("/code", &body).await;
        let run = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
        (run, frames(answer).await)
    }

    /// Says something to a run that has ended; the frames of the one that follows it.
    pub(super) async fn say(&self, run: &str, message: &str) -> Vec<Value> {
        let path = format!("/v1/runs/{run}/messages");
        let answer = self.post(&path, &json!({ "message": message })).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let url = format!(
            "{}/v1/runs/{}/stream",
            self.address(),
            answer["id"].as_str().unwrap()
        );
        frames(in_time(http_client().get(url).send()).await.unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = http_client()
            .post(format!("{}{path}", self.address()))
            .header("Content-Type", "application/json")
            .body(body.to_string());
        in_time(request.send()).await.unwrap()
    }

    fn address(&self) -> &str {
        &self.server.as_ref().expect("a server").1
    }

    /// The text that a path answers with.
    pub(super) async fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.address());
        let answer = in_time(http_client().get(url).send()).await.unwrap();
        in_time(answer.text()).await.unwrap()
    }

    /// A command of ours, with the configuration and the token.
    pub(super) fn pullwright(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(PROGRAM);
        command
            .args(arguments)
            .args(["--config", "plugins.toml"])
            .current_dir(&self.desk.path)
            .env_remove("DATABASE_URL")
            .env("GITLAB_TOKEN", self.token)
            .env("GITHUB_TOKEN", "of-another-host")
            .stdin(Stdio::null());
        command
    }

    /// Calls a tool of the plugin without a run: whether it went well, and what was said.
    pub(super) async fn call(&self, tool: &str, arguments: &Value) -> (bool, String) {
        let arguments = arguments.to_string();
        let words = ["tools", "call", "gitlab", tool, &arguments, "--json"];
        self.told(&words).await
    }

    pub(super) async fn told(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::from(self.pullwright(words));
        let output = in_time(command.kill_on_drop(true).output()).await.unwrap();
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    }

    /// What the remote's git says.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let bare = self.desk.path.join(format!("remotes/{PROJECT}.git"));
        git(&bare, arguments).trim().to_owned()
    }
}

async fn frames(answer: reqwest::Response) -> Vec<Value> {
    let status = answer.status();
    let text = in_time(answer.text()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap())
        .collect()
}
