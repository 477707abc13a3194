//! The program's server, and all that it talks to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

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

pub(super) struct Ground {
    pub(super) github: Github,
    model: Model,
    takes: HttpBackend,
    echoes: HttpBackend,
    collector: Collector,
    server: Child,
    address: String,
    log: watch::Receiver<String>,
    watch: Watch,
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
        let model = Model::start({
            let (files, needle, path) = (Arc::clone(&files), needle.clone(), path.clone());
            move || files.lock().unwrap().extend(needle.files_below(&path))
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
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--config", "plugins.toml", "--log-format", "json"])
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(&path)
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
        };
        let mut server = command.spawn().unwrap();
        let watch = Watch::of_descendants(server.id().unwrap(), needle.clone());
        let (line, log) = listening(&mut server).await;
        Self {
            address: line,
            github,
            model,
            takes,
            echoes,
            collector,
            server,
            log,
            watch,
            needle,
            files,
            path,
            _folder: folder,
        }
    }

    /// Does the job to its end.
    pub(super) async fn code(&self, remote: Remote) -> Heard {
        let remote = match remote {
            Remote::Takes => &self.takes,
            Remote::Echoes => &self.echoes,
        };
        let body = json!({ "repoUrl": remote.url("owner/project.git"), "prompt": "Greet" });
        let request = http_client()
            .post(format!("{}/code?deltas=1", self.address))
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = in_time(request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let run = answer.headers()["x-run-id"].to_str().unwrap().to_owned();
        let text = in_time(answer.text()).await.unwrap();
        Heard { text, run }
    }

    /// The token is nowhere.
    pub(super) async fn is_clean(mut self, runs: impl IntoIterator<Item = Heard>) {
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
        self.server.kill().await.unwrap();
        // The rest of its words.
        while self.log.changed().await.is_ok() {}
        let log = self.log.borrow().clone();
        assert!(log.contains("\"TRACE\""), "not everything is logged");
        texts.push(("the log".to_owned(), log));
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
        let (found, seen) = self.watch.stop();
        assert_eq!(found, BTreeSet::new(), "processes show the token");
        for program in ["git", "git-remote-http", "pullwright"] {
            assert!(
                seen.contains(program),
                "{program} was not looked at: {seen:?}"
            );
        }
        for host in [&self.takes, &self.echoes] {
            assert!(host.authorized() > 0, "the token was not used");
        }
    }

    async fn get(&self, path: &str) -> String {
        let request = http_client().get(format!("{}{path}", self.address));
        let answer = in_time(request.send()).await.unwrap();
        in_time(answer.text()).await.unwrap()
    }
}

impl Heard {
    pub(super) fn outcome(&self) -> String {
        let mut data = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let done: Value = serde_json::from_str(data.next_back().unwrap()).unwrap();
        done["outcome"].as_str().unwrap_or("none").to_owned()
    }
}

fn sections(account: Account, github: &Github, model: &Model, hosts: &[String; 2]) -> String {
    let account = match account {
        Account::Variable => "env_vars = [\"FORGE_TOKEN\"]",
        Account::App => "app_id = 4711\napp_key_env = \"APP_KEY\"",
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
        hosts = {hosts:?}
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
        "#,
        model = model.url,
        one = forge("github", &hosts[0]),
        other = forge("echo", &hosts[1]),
    )
}
