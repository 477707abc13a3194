//! A project behind git's HTTP server, a model, and servers that come and go.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use pullwright_protocol::LoggedEvent;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::model::{Model, Turn};
use crate::peers::emulate::TOKEN;
use crate::peers::forge::Forge;
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::peers::process::Peers;
use crate::runs::lab::{PROGRAM, make_folder, write_config};
use crate::runs::project::{File, git, make_remote};
use crate::served::listening;
use crate::support::http_client;

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a run takes place.
pub(super) struct Ground {
    pub(super) model: Model,
    path: PathBuf,
    remote: Remote,
    variables: Vec<(String, String)>,
    client: Client,
    _folder: TempDir,
}

/// What a ground is made of.
pub(super) struct Setting<'a> {
    pub(super) files: &'a [File<'a>],
    pub(super) turns: Vec<Turn>,
    /// Sections of `plugins.toml`.
    pub(super) sections: String,
    /// The servers' variables.
    pub(super) variables: Vec<(String, String)>,
    /// Whose forge the project is on, if on one.
    pub(super) peers: Option<&'a Peers>,
}

/// Where the project is.
enum Remote {
    Plain { bare: PathBuf, http: HttpBackend },
    Forge(Box<Forge>),
}

/// A server process. Dropping it kills it.
pub(super) struct Server {
    process: Child,
    address: String,
}

impl Ground {
    pub(super) async fn new(setting: Setting<'_>) -> Self {
        let (path, folder) = make_folder();
        let remote = match setting.peers {
            Some(peers) => Remote::Forge(Box::new(Forge::start(peers, setting.files).await)),
            None => Remote::Plain {
                bare: make_remote(&path, setting.files),
                http: HttpBackend::start(path.join("remotes"), Behaviour::Open).await,
            },
        };
        let model = Model::start(setting.turns).await;
        let (url, github) = (model.url(), remote.github());
        let sections = format!(
            r#"
[agent]
provider = "careful"
[providers.careful]
wire_api = "openai_chat"
base_url = "{url}"
env_key = "CAREFUL_KEY"
model = "careful"
{github}
[server]
data_dir = "DATA"
lease_sec = 1
shutdown_grace_sec = 1
{}
"#,
            setting.sections
        );
        std::fs::write(path.join("script.toml"), "replies = []").unwrap();
        write_config(&path, &sections, &remote.http().host());
        Self {
            model,
            path,
            remote,
            variables: setting.variables,
            client: http_client(),
            _folder: folder,
        }
    }

    /// Starts a server whose folder has this name.
    pub(super) async fn serve(&self, data: &str) -> Server {
        let text = std::fs::read_to_string(self.path.join("plugins.toml")).unwrap();
        let config = self.path.join(format!("{data}.toml"));
        std::fs::write(&config, text.replace("\"DATA\"", &format!("{data:?}"))).unwrap();
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .env("CAREFUL_KEY", "key")
            .env("GITHUB_TOKEN", TOKEN)
            .envs(self.variables.clone())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (address, _) = listening(&mut process).await;
        Server { process, address }
    }

    /// Starts a run and answers its id.
    pub(super) async fn start(&self, server: &Server) -> String {
        let repository = self.remote.url();
        let body = json!({ "repoUrl": repository, "prompt": "Change the greeting" });
        self.post(server, "/v1/runs", &body).await
    }

    /// Says something to a run that has ended, and answers the id of the one that follows it.
    pub(super) async fn say(&self, server: &Server, run: &str) -> String {
        let body = json!({ "message": "Say more" });
        self.post(server, &format!("/v1/runs/{run}/messages"), &body)
            .await
    }

    async fn post(&self, server: &Server, path: &str, body: &Value) -> String {
        let request = self.client.post(format!("{}{path}", server.address));
        let request = request.header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["id"].as_str().expect(&text).to_owned()
    }

    /// Follows the run from where `events` ends, to its end or until `enough`.
    pub(super) async fn follow(
        &self,
        server: &Server,
        run: &str,
        events: &mut Vec<LoggedEvent>,
        enough: impl Fn(&LoggedEvent) -> bool,
    ) {
        let url = format!("{}/v1/runs/{run}/events", server.address);
        let last = events.last().map_or(0, |logged| logged.seq);
        let request = self.client.get(url);
        let request = request.header("Last-Event-ID", last.to_string());
        let reading = async {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
            let mut body = answer.bytes_stream();
            let mut text = Vec::new();
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
                        return;
                    }
                }
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.unwrap_or_else(|_| panic!("the run does not end: {:#?}", tail(events)));
    }

    /// What `pullwright replay` says of a run of the server with this folder.
    pub(super) async fn replay(&self, data: &str, run: &str) -> String {
        let config = self.path.join(format!("{data}.toml"));
        let mut command = Command::new(PROGRAM);
        command
            .args(["replay", run, "--tools", "recorded", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .envs(self.variables.clone())
            .stdin(Stdio::null());
        if self
            .variables
            .iter()
            .any(|(name, _)| name == "DATABASE_URL")
        {
            command.arg("--database");
        }
        let output = command.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// What the remote's git says.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git(&self.remote.bare(), arguments).trim().to_owned()
    }

    /// Pushes a commit to `main`, as a person does.
    pub(super) fn move_main(&self) {
        let project = self.path.join("project");
        std::fs::write(project.join("theirs.txt"), "theirs\n").unwrap();
        git(&project, &["add", "--all"]);
        git(&project, &["commit", "--quiet", "--message", "Theirs"]);
        let bare = self.remote.bare();
        git(
            &project,
            &["push", "--quiet", bare.to_str().unwrap(), "main"],
        );
    }

    /// The branches of the remote other than `main`.
    pub(super) fn branches(&self) -> Vec<String> {
        let heads = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        let heads = heads.lines().filter(|name| *name != "main");
        heads.map(str::to_owned).collect()
    }

    /// How many pull requests there are, where the project is on a forge.
    pub(super) async fn pull_requests(&self) -> Option<usize> {
        match &self.remote {
            Remote::Plain { .. } => None,
            Remote::Forge(forge) => {
                let pulls = forge.api.get("/pulls?state=all").await;
                Some(pulls.as_array().unwrap().len())
            }
        }
    }

    /// What a server has of runs on the disk.
    pub(super) fn left(&self, data: &str) -> Vec<String> {
        let folders = ["runs", "git/runs", "local"].map(|folder| self.path.join(data).join(folder));
        let entries = folders.iter().map(std::fs::read_dir);
        let entries = entries.flatten().flatten().flatten();
        let names = entries.map(|entry| entry.path().display().to_string());
        names.collect()
    }
}

impl Remote {
    fn http(&self) -> &HttpBackend {
        match self {
            Self::Plain { http, .. } => http,
            Self::Forge(forge) => &forge.git,
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Plain { http, .. } => http.url("owner/project.git"),
            Self::Forge(forge) => forge.clone_url(),
        }
    }

    fn bare(&self) -> PathBuf {
        match self {
            Self::Plain { bare, .. } => bare.clone(),
            Self::Forge(forge) => forge.bare(),
        }
    }

    /// The section of the forge's tool server.
    fn github(&self) -> String {
        let Self::Forge(forge) = self else {
            return String::new();
        };
        let (api, host) = (forge.api.url(), forge.git.host());
        format!(
            r#"
[tools.github]
builtin = "github"
runs = "host"
base_url = "{api}"
hosts = ["{host}"]
env_vars = ["GITHUB_TOKEN"]
"#
        )
    }
}

impl Server {
    /// Kills the process, as `kill -9` does.
    pub(super) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Tells the process to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        let status = ended.expect("it stops").unwrap();
        assert!(status.success(), "{status}");
    }

    /// Lets the process stand still, as a machine does that is cut off.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets the process go on, and waits until it has parted with all its runs.
    pub(super) async fn thaw(&self) {
        self.signal(Signal::CONT);
        let url = format!("{}/metrics", self.address);
        let idle = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                let answer = http_client().get(&url).send().await.unwrap();
                let text = answer.text().await.unwrap();
                if text.contains("pullwright_runs_active 0") {
                    return;
                }
            }
        };
        let parted = tokio::time::timeout(PATIENCE, idle).await;
        parted.expect("it parts with its runs");
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let pid = Pid::from_raw(id.unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

fn tail(events: &[LoggedEvent]) -> &[LoggedEvent] {
    &events[events.len().saturating_sub(12)..]
}
