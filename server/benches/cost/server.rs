//! The real server on loopback, and a client of it.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pullwright::api;
use pullwright::compose::{self, Executor, Setting};
use pullwright::runs::{Runs, RunsConfig};
use pullwright::runtime::server_runtime;
use pullwright_core::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::model::Model;

/// The program with the tool host.
pub(crate) const PULLWRIGHT: &str = env!("CARGO_BIN_EXE_pullwright");

const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A server with a repository on disk. The sandbox is `none`: another kind costs more at the start
/// of a run and nothing per turn.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    address: SocketAddr,
    client: reqwest::Client,
    /// The client's own, so that it does not share the server's threads.
    runtime: Runtime,
    _server: Runtime,
}

/// What a client saw of a run.
pub(crate) struct Watched {
    pub(crate) first_frame: Duration,
    pub(crate) done: Value,
}

impl Server {
    pub(crate) fn start(model: &Model) -> Self {
        let folder = open_folder();
        let repository = folder.path().join("repository");
        make_repository(&repository, &[("README.md", "a sample\n".to_owned())]);
        let config = Config::parse(&configuration(model), &folder.path().join("plugins.toml"));
        let data_dir = folder.path().join("data");
        let server = server_runtime().unwrap();
        let address = server.block_on(listen(config.unwrap(), data_dir));
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            folder,
            address,
            client: reqwest::Client::new(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            _server: server,
        }
    }

    /// Starts a run and watches it to its end.
    pub(crate) fn code(&self) -> Watched {
        self.runtime.block_on(self.watch())
    }

    async fn watch(&self) -> Watched {
        let request = json!({
            "repoUrl": self.folder.path().join("repository"),
            "prompt": "Say hi until you are told to stop.",
        });
        let begin = Instant::now();
        let sent = self
            .client
            .post(format!("http://{}/code", self.address))
            .header("content-type", "application/json")
            .body(request.to_string())
            .send();
        let mut reply = sent.await.unwrap();
        let (mut first_frame, mut text) = (None, Vec::new());
        while let Some(piece) = reply.chunk().await.unwrap() {
            text.extend_from_slice(&piece);
            if first_frame.is_none() && text.windows(6).any(|window| window == b"data: ") {
                first_frame = Some(begin.elapsed());
            }
        }
        let text = String::from_utf8(text).unwrap();
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .next_back();
        Watched {
            first_frame: first_frame.unwrap_or_else(|| panic!("no frame, but {text}")),
            done: serde_json::from_str(last.unwrap()).unwrap(),
        }
    }
}

async fn listen(config: Config, data_dir: PathBuf) -> SocketAddr {
    let tool_host = Path::new(PULLWRIGHT);
    let sandboxes = pullwright_sandbox::open_host(&config.sandbox, &data_dir, tool_host).unwrap();
    let setting = Setting {
        data_dir,
        database: None,
        allow_local_paths: true,
        ..Setting::default()
    };
    let executor = Executor::new(compose::parts(config, sandboxes, &setting).await.unwrap());
    let store = Arc::clone(&executor.parts().store);
    let runs = Runs::new(
        store,
        Arc::clone(&executor) as _,
        executor,
        RunsConfig::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = api::router(api::ApiState::new(runs, address, MAX_BODY_BYTES));
    tokio::spawn(api::serve(listener, router, std::future::pending()));
    address
}

/// The key is sent to the fake only, which does not look at it; `PATH` is a variable that is there.
fn configuration(model: &Model) -> String {
    let address = model.address;
    format!(
        "[agent]\nprovider = \"bench\"\n\
         [budget]\nmax_usd = \"none\"\nmax_turns = 1000\nmax_tokens = 1000000000\n\
         [setup]\nrun = []\n[checks]\nrun = []\n\
         [providers.bench]\nwire_api = \"anthropic_messages\"\nbase_url = \"http://{address}\"\n\
         env_key = \"PATH\"\nmodel = \"bench\"\n\
         [tools.bash]\nbuiltin = \"bash\"\n\
         [sandbox]\nkind = \"none\"\n"
    )
}

/// A folder that the users of a sandbox can pass through.
pub(crate) fn open_folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

/// A repository with one commit.
pub(crate) fn make_repository(folder: &Path, files: &[(&str, String)]) {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "Start"]);
}

fn git(folder: &Path, arguments: &[&str]) {
    let author = ["user.name=bench", "user.email=bench@localhost"];
    let ended = Command::new("git")
        .args([
            "-C",
            folder.to_str().unwrap(),
            "-c",
            author[0],
            "-c",
            author[1],
        ])
        .args(arguments)
        .status();
    assert!(ended.unwrap().success(), "git {arguments:?} failed");
}
