//! The program's server, and all that it talks to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use pullwright::store::SqliteStore;
use pullwright_core::store::RunStore as _;
use pullwright_protocol::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::TOKEN;
use super::github::Github;
use super::model::Model;
use super::needle::Needle;
use super::watch::Watch;
use crate::main_job::app_keys;
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::runs::lab::{PROGRAM, in_time, make_folder, write_config};
use crate::runs::project::{FILES, make_remote};
use crate::served::listening;
use crate::support::http_client;
use crate::traces::collector::{Collector, Manner};

/// Where the token comes from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Account {
    /// A variable of the server.
    Variable,
    /// A GitHub App, whose token it is.
    App,
    /// A header of each request; the server has a token of its own, which is another one.
    Caller {
        /// Whether the server has a key to store it.
        is_sealed: bool,
    },
}

/// How a git host takes a push.
#[derive(Clone, Copy)]
pub(super) enum Remote {
    Takes,
    /// It does not, and repeats what it was sent.
    Echoes,
}

/// What a caller heard of a run.
pub(super) struct Heard {
    pub(super) text: String,
    run: String,
}

/// The program's server.
struct Server {
    process: Child,
    address: String,
    log: watch::Receiver<String>,
    watch: Watch,
}

pub(super) struct Ground {
    pub(super) github: Github,
    model: Model,
    pub(super) takes: HttpBackend,
    echoes: HttpBackend,
    collector: Collector,
    account: Account,
    server: Server,
    /// What servers before it have said.
    logs: Vec<String>,
    gate: Arc<Gate>,
    needle: Needle,
    /// Files in which the token was while runs were under way.
    files: Arc<Mutex<BTreeSet<String>>>,
    path: PathBuf,
    _folder: TempDir,
}

impl Ground {
    pub(super) async fn start(account: Account) -> Self {
        let (path, folder) = make_folder();
        make_remote(&path, FILES);
        for name in ["data", "tmp", "home"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let needle = Needle::new(TOKEN);
        let files = Arc::new(Mutex::new(BTreeSet::new()));
        let github = Github::start().await;
        let gate = Arc::new(Gate::default());
        let model = Model::start({
            let (files, needle, path) = (Arc::clone(&files), needle.clone(), path.clone());
            let gate = Arc::clone(&gate);
            move |request| {
                files.lock().unwrap().extend(needle.files_below(&path));
                gate.pass(request);
            }
        })
        .await;
        let (user, begin) = ("x-access-token".to_owned(), TOKEN.to_owned());
        let takes = Behaviour::Token {
            user: user.clone(),
            begin: begin.clone(),
        };
        let takes = HttpBackend::start(path.join("remotes"), takes).await;
        let echoes = Behaviour::Echo { user, begin };
        let echoes = HttpBackend::start(path.join("remotes"), echoes).await;
        let collector = Collector::start(Manner::Takes).await;
        let hosts = [takes.host(), echoes.host()];
        write_config(&path, &sections(account, &github, &model, &hosts), "");
        let server = Server::start(account, &path, &collector, &needle).await;
        Self {
            github,
            model,
            takes,
            echoes,
            collector,
            account,
            server,
            logs: Vec::new(),
            gate,
            needle,
            files,
            path,
            _folder: folder,
        }
    }

    /// From now on, the model's reply to a request with so many results of tools waits.
    pub(super) fn hold(&self, results: usize) {
        self.gate.held.send_replace(Some(results));
    }

    /// Waits until a reply waits.
    pub(super) async fn until_held(&self) {
        let mut waiting = self.gate.waiting.subscribe();
        in_time(waiting.wait_for(|waiting| *waiting)).await.unwrap();
    }

    pub(super) fn release(&self) {
        self.gate.held.send_replace(None);
    }

    /// As `kill -9` does, and then another one on the same folder.
    pub(super) async fn replace_server(&mut self) {
        self.server.process.kill().await.unwrap();
        let next = Server::start(self.account, &self.path, &self.collector, &self.needle).await;
        let server = std::mem::replace(&mut self.server, next);
        let (found, _) = server.end(&mut self.logs).await;
        assert_eq!(found, BTreeSet::new(), "processes show the token");
    }

    /// Does the job to its end.
    pub(super) async fn code(&self, remote: Remote) -> Heard {
        let token = matches!(self.account, Account::Caller { .. }).then_some(TOKEN);
        let tokens = token.as_slice();
        let job = self.job(remote);
        let answer = self.post("/code?deltas=1", &job, tokens, None).await;
        assert_eq!(answer.status(), 200);
        let run = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
        let text = in_time(answer.text()).await.unwrap();
        Heard { text, run }
    }

    /// The body of a request for the job.
    pub(super) fn job(&self, remote: Remote) -> Value {
        let remote = match remote {
            Remote::Takes => &self.takes,
            Remote::Echoes => &self.echoes,
        };
        json!({ "repoUrl": remote.url("owner/project.git"), "prompt": "Greet" })
    }

    /// A request with these tokens in headers, and an idempotency key.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        tokens: &[&str],
        key: Option<&str>,
    ) -> reqwest::Response {
        let mut request = http_client()
            .post(format!("{}{path}", self.server.address))
            .header("content-type", "application/json")
            .body(body.to_string());
        for token in tokens {
            request = request.header("X-Forge-Token", *token);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        in_time(request.send()).await.unwrap()
    }

    /// What a proxy on this machine gets that passes on a request with a token, and these headers of its own.
    pub(super) async fn through_proxy(
        &self,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut request = http_client()
            .post(format!("{}/v1/runs", self.server.address))
            .header("content-type", "application/json")
            .header("X-Forge-Token", TOKEN)
            .body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = in_time(request.send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The stream of a run, to its end.
    pub(super) async fn heard_of(&self, run: &str) -> Heard {
        Heard {
            text: self.get(&format!("/v1/runs/{run}/stream")).await,
            run: run.to_owned(),
        }
    }

    /// How many runs there are.
    pub(super) async fn runs(&self) -> usize {
        let page: Value = serde_json::from_str(&self.get("/v1/runs").await).unwrap();
        page["runs"].as_array().unwrap().len()
    }

    /// Whether a sealed token is in the store.
    pub(super) async fn has_sealed_token(&self, run: &str) -> bool {
        let store = SqliteStore::open(self.path.join("data/runs.sqlite"))
            .await
            .unwrap();
        store.token(&RunId(run.to_owned())).await.unwrap().is_some()
    }

    /// The token is nowhere.
    pub(super) async fn assert_clean(mut self, runs: impl IntoIterator<Item = Heard>) {
        let mut texts = Vec::new();
        for path in ["/metrics", "/v1/runs", "/openapi.json"] {
            texts.push((path.to_owned(), self.get(path).await));
        }
        for heard in runs {
            let run = heard.run;
            texts.push((format!("the stream of {run}"), heard.text));
            for part in ["", "/events", "/stream", "/patch"] {
                let path = format!("/v1/runs/{run}{part}");
                texts.push((path.clone(), self.get(&path).await));
            }
        }
        self.server.stop().await;
        let mut logs = std::mem::take(&mut self.logs);
        let (found, seen) = self.server.end(&mut logs).await;
        assert_eq!(found, BTreeSet::new(), "processes show the token");
        for program in ["git", "git-remote-http", "pullwright"] {
            assert!(
                seen.contains(program),
                "{program} was not looked at: {seen:?}"
            );
        }
        assert!(
            logs.concat().contains("\"TRACE\""),
            "not everything is logged"
        );
        texts.push(("the log".to_owned(), logs.concat()));
        let heard = String::from_utf8_lossy(&self.model.heard()).into_owned();
        assert!(heard.contains("src/greeting.txt"), "{heard}");
        texts.push(("what the model was sent".to_owned(), heard));
        assert!(self.collector.requests() > 0, "nothing is traced");
        let traces = String::from_utf8_lossy(&self.collector.bytes()).into_owned();
        texts.push(("the traces".to_owned(), traces));
        for (what, text) in &texts {
            let around = self.needle.context(text);
            assert!(around.is_empty(), "{what} holds the token after: {around}");
        }
        let files = [
            self.files.lock().unwrap().iter().cloned().collect(),
            self.needle.files_below(&self.path),
        ];
        assert_eq!(files.concat(), Vec::<String>::new(), "files hold the token");
        assert!(self.takes.authorized() > 0, "the token was not used");
    }

    pub(super) async fn get(&self, path: &str) -> String {
        let request = http_client().get(format!("{}{path}", self.server.address));
        let answer = in_time(request.send()).await.unwrap();
        in_time(answer.text()).await.unwrap()
    }
}

impl Server {
    async fn start(account: Account, path: &Path, collector: &Collector, needle: &Needle) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--config", "plugins.toml", "--log-format", "json"])
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(path)
            .env_remove("DATABASE_URL")
            .env_remove("GITHUB_TOKEN")
            .env("TMPDIR", path.join("tmp"))
            .env("HOME", path.join("home"))
            .env("PULLWRIGHT_LOG", "trace")
            .env("MODEL_KEY", "sk-canary-model")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        match account {
            Account::Variable => command.env("FORGE_TOKEN", TOKEN),
            Account::App => command.env("APP_KEY", app_keys::ours()),
            Account::Caller { .. } => command
                .env("FORGE_TOKEN", "another-token")
                .env("TOKEN_KEYS", TOKEN_KEYS),
        };
        let mut process = command.spawn().unwrap();
        let watch = Watch::of_descendants(process.id().unwrap(), needle.clone());
        let (address, log) = listening(&mut process).await;
        Self {
            process,
            address,
            log,
            watch,
        }
    }

    /// Told to stop, it sends its last traces.
    async fn stop(&mut self) {
        let id = self.process.id().unwrap().cast_signed();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let ended = in_time(self.process.wait()).await.unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// What one that has ended has said goes into `logs`. Answers where the needle was in its processes, and which
    /// programs these were.
    async fn end(mut self, logs: &mut Vec<String>) -> (BTreeSet<String>, BTreeSet<String>) {
        while self.log.changed().await.is_ok() {}
        logs.push(self.log.borrow().clone());
        self.watch.stop()
    }
}

/// Lets the model's replies wait.
#[derive(Default)]
struct Gate {
    /// Replies to requests with so many results wait, if any do.
    held: watch::Sender<Option<usize>>,
    waiting: watch::Sender<bool>,
}

impl Gate {
    /// Returns once a reply to a request with so many results may be given.
    fn pass(&self, results: usize) {
        let mut held = self.held.subscribe();
        let is_free = |held: &Option<usize>| *held != Some(results);
        if is_free(&held.borrow()) {
            return;
        }
        self.waiting.send_replace(true);
        let _ = tokio::runtime::Handle::current().block_on(held.wait_for(is_free));
    }
}

impl Heard {
    pub(super) fn done(&self) -> Value {
        let mut data = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.next_back().unwrap()).unwrap()
    }

    pub(super) fn outcome(&self) -> String {
        self.done()["outcome"].as_str().unwrap_or("none").to_owned()
    }
}

/// A git host that no row is for.
pub(super) const NO_FORGE: &str = "127.0.0.1:9";

/// The first seals.
const TOKEN_KEYS: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn sections(account: Account, github: &Github, model: &Model, hosts: &[String; 2]) -> String {
    let keys = match account {
        Account::Caller { is_sealed: true } => "token_key_env = \"TOKEN_KEYS\"",
        _ => "",
    };
    let account = match account {
        Account::Variable => "env_vars = [\"FORGE_TOKEN\"]",
        Account::App => "app_id = 4711\napp_key_env = \"APP_KEY\"",
        Account::Caller { .. } => "env_vars = [\"FORGE_TOKEN\"]",
    };
    let forge = |name: &str, host: &str| {
        let api = &github.url;
        format!(
            "[tools.{name}]\nbuiltin = \"github\"\nruns = \"host\"\nbase_url = \"{api}\"\n\
             hosts = [\"{host}\"]\n{account}\n"
        )
    };
    format!(
        r#"
        [agent]
        provider = "chat"
        [repositories]
        hosts = [{one_host:?}, {other_host:?}, "{NO_FORGE}"]
        [checks]
        run = ["test -s src/greeting.txt"]
        [providers.chat]
        wire_api = "openai_chat"
        base_url = "{model}"
        env_key = "MODEL_KEY"
        model = "m"
        [tools.child]
        command = "{PROGRAM}"
        args = ["tool-host", "serve", "git", "--root", "."]
        runs = "host"
        {one}
        {other}
        [server]
        data_dir = "data"
        lease_sec = 2
        trusted_proxies = ["127.0.0.1"]
        {keys}
        "#,
        model = model.url,
        one_host = hosts[0],
        other_host = hosts[1],
        one = forge("github", &hosts[0]),
        other = forge("echo", &hosts[1]),
    )
}
