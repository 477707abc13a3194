//! A server that is a process of its own, a project behind git's HTTP server, a model that plays a script,
//! and perhaps a GitHub.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::github::Github;
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::runs::command_line::Desk;
use crate::runs::lab::{in_time, write_config};
use crate::runs::project;
use crate::support::http_client;
use crate::webhooks::sender;

pub(crate) struct Office {
    pub(crate) desk: Desk,
    pub(crate) github: Option<Github>,
    backend: HttpBackend,
    process: Child,
    address: String,
}

impl Office {
    /// One without a code host.
    pub(crate) async fn plain(script: &str) -> Self {
        Self::open(script, "", None).await
    }

    /// One without a code host, with these sections.
    pub(crate) async fn plain_with(script: &str, sections: &str) -> Self {
        Self::open(script, sections, None).await
    }

    /// One whose code host is a GitHub.
    pub(crate) async fn with_github(script: &str, sections: &str) -> Self {
        Self::open(script, sections, Some(Github::start().await)).await
    }

    async fn open(script: &str, sections: &str, github: Option<Github>) -> Self {
        let desk = Desk::new(script, "");
        let github = github.map(|github| github.forking_in(desk.path.join("remotes")));
        let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
        let host = backend.host();
        let forge = github.as_ref().map(|github| {
            let api = github.url();
            format!(
                "[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\nbase_url = \"{api}\"\n\
                 hosts = [\"{host}\"]\nenv_vars = [\"GITHUB_TOKEN\"]\n"
            )
        });
        let sections = format!(
            "[server]\ndata_dir = \"data\"\nlease_sec = 1\n{}{sections}",
            forge.unwrap_or_default()
        );
        write_config(&desk.path, &sections, &host);
        let (process, address) = serve(&desk);
        Self {
            desk,
            github,
            backend,
            process,
            address,
        }
    }

    /// Kills the server as `kill -9` does, and starts another one.
    pub(crate) fn kill_and_serve(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
        (self.process, self.address) = serve(&self.desk);
    }

    /// Starts a run, and answers its id.
    pub(crate) async fn start(&self, fields: Value) -> String {
        let repository = self.repository();
        let mut body = json!({ "repoUrl": repository, "prompt": "Greet shortly" });
        let more = fields.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        let (status, answer) = self.post("/v1/runs", &body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Starts a run and sees it to this end.
    pub(crate) async fn run(&self, outcome: &str) -> String {
        let run = self.start(json!({})).await;
        self.ends(&run, outcome).await;
        run
    }

    /// Says something to a run that has ended, and sees the run that follows it to this end. Answers its id.
    pub(crate) async fn follow(&self, run: &str, message: &str, outcome: &str) -> String {
        let follower = self.begin_to_follow(run, message).await;
        self.ends(&follower, outcome).await;
        follower
    }

    pub(crate) async fn begin_to_follow(&self, run: &str, message: &str) -> String {
        let (status, answer) = self.say(run, message).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert!(answer["follows"].is_string(), "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn say(&self, run: &str, message: &str) -> (StatusCode, Value) {
        let path = format!("/v1/runs/{run}/messages");
        self.post(&path, &json!({ "message": message })).await
    }

    /// Waits for the run's end, and answers its whole stream.
    pub(crate) async fn ends(&self, run: &str, outcome: &str) -> String {
        let url = format!("{}/v1/runs/{run}/stream", self.address);
        let stream = in_time(http_client().get(url).send()).await;
        let text = in_time(stream.expect("a stream").text()).await;
        let text = text.expect("the frames");
        let is_so = text.contains(&format!("\"outcome\":\"{outcome}\""));
        assert!(is_so, "{outcome}: {text}");
        text
    }

    /// Waits until the run's frames say this.
    pub(crate) async fn until_told(&self, run: &str, told: &str) {
        self.until(run, "stream", told).await;
    }

    /// Waits until the run's log says this.
    pub(crate) async fn until_logged(&self, run: &str, logged: &str) {
        self.until(run, "events", logged).await;
    }

    async fn until(&self, run: &str, what: &str, told: &str) {
        let url = format!("{}/v1/runs/{run}/{what}", self.address);
        let mut stream = http_client().get(url).send().await.expect("a stream");
        let mut seen = String::new();
        while !seen.contains(told) {
            let chunk = in_time(stream.chunk()).await.expect("a chunk");
            let chunk = chunk.unwrap_or_else(|| panic!("it ended: {seen}"));
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The URL of the project.
    pub(crate) fn repository(&self) -> String {
        self.backend.url("owner/project.git")
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What a route answers.
    pub(crate) async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.get_text(path).await).expect("JSON")
    }

    pub(crate) async fn get_text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.address);
        let answer = in_time(http_client().get(url).send()).await;
        answer.expect("an answer").text().await.expect("a body")
    }

    pub(crate) async fn record(&self, run: &str) -> Value {
        self.get(&format!("/v1/runs/{run}")).await
    }

    pub(crate) async fn cancel(&self, run: &str) {
        let (status, answer) = self
            .post(&format!("/v1/runs/{run}/cancel"), &json!({}))
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = http_client()
            .post(format!("{}{path}", self.address))
            .header("Content-Type", "application/json")
            .body(body.to_string());
        let answer = in_time(request.send()).await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    pub(crate) fn pullwright(&self, arguments: &[&str]) -> Output {
        let config = ["--config", "plugins.toml"];
        self.desk.run(&[arguments, &config[..]].concat())
    }

    /// What the remote's git says.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        project::git(&self.desk.remote, arguments).trim().to_owned()
    }

    /// The branches of the remote other than `main`, the oldest first.
    pub(crate) fn branches(&self) -> Vec<String> {
        let heads = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        let heads = heads.lines().filter(|name| *name != "main");
        heads.map(str::to_owned).collect()
    }

    /// The only branch of the remote other than `main`.
    pub(crate) fn branch(&self) -> String {
        let branches = self.branches();
        let [branch] = &branches[..] else {
            panic!("{branches:?}");
        };
        branch.clone()
    }

    /// The titles of the commits on a branch that `main` does not have, the oldest first.
    pub(crate) fn commits(&self, branch: &str) -> Vec<String> {
        let range = format!("main..{branch}");
        let log = self.git(&["log", "--reverse", "--format=%s", &range]);
        log.lines().map(str::to_owned).collect()
    }

    pub(crate) fn greeting(&self, branch: &str) -> String {
        self.git(&["show", &format!("{branch}:src/greeting.txt")])
    }

    /// The code host of an office that has one.
    pub(crate) fn github(&self) -> &Github {
        self.github.as_ref().expect("a GitHub")
    }

    /// Pushes a commit with one file to a branch, as a person does.
    pub(crate) fn commit_as_a_person(&self, branch: &str, file: &str) {
        self.commit_as_a_person_at(branch, file, "mine\n");
    }

    pub(crate) fn commit_as_a_person_at(&self, branch: &str, file: &str, content: &str) {
        let remote = self.desk.remote.to_str().expect("UTF-8");
        let clone = self.desk.path.join("a-person-s");
        let _ = std::fs::remove_dir_all(&clone);
        let clone_args = ["clone", "--quiet", "--branch", branch, remote, "a-person-s"];
        project::git(&self.desk.path, &clone_args);
        let path = clone.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make it");
        std::fs::write(path, content).expect("write a file");
        project::git(&clone, &["add", "--all"]);
        project::git(&clone, &["commit", "--quiet", "--message", "By a person"]);
        project::git(&clone, &["push", "--quiet", remote, branch]);
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(desk: &Desk) -> (Child, String) {
    let arguments = [
        "serve",
        "--config",
        "plugins.toml",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = desk.pullwright(&arguments);
    command.env("GITHUB_TOKEN", "token");
    command.env(sender::VARIABLE, sender::SECRET);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("start pullwright");
    let output = process.stderr.take().expect("stderr");
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("a line"));
    let address = lines
        .by_ref()
        .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    // What it says later must have somewhere to go.
    std::thread::spawn(move || lines.for_each(drop));
    (process, address.expect("the server says where it listens"))
}
