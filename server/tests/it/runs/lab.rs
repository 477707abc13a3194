//! A server on a port of its own, a project behind git's HTTP server, and a model that plays a
//! script.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pullwright::api::{self, ApiConfig, ApiState};
use pullwright::compose::{self, Executor, Reload, Setting};
use pullwright::metrics::Metrics;
use pullwright::runs::{Runs, RunsConfig};
use pullwright_core::config::Config;
use pullwright_core::store::RunStore;
use pullwright_protocol::{Event, LoggedEvent, RunId};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::project::{self, FILES, File};
use crate::peers::http_backend::{Behaviour, HttpBackend};

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// More events than any test's run has.
const ALL_EVENTS: usize = 10_000;

/// The program that holds the tool servers.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pullwright");

/// A model that makes one edit and says so.
pub(crate) const GREET: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly" }]
"#;

/// What a lab is made of.
pub(crate) struct Plan<'a> {
    pub(crate) files: &'a [File<'a>],
    /// The model's script.
    pub(crate) script: &'a str,
    /// Sections of `plugins.toml` that replace or complete the usual ones.
    pub(crate) config: &'a str,
    /// Files beside `plugins.toml`.
    pub(crate) beside: &'a [File<'a>],
    pub(crate) remote: Behaviour,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            files: FILES,
            script: "replies = []",
            config: "",
            beside: &[],
            remote: Behaviour::Open,
        }
    }
}

/// A server and what it works on.
pub(crate) struct Lab {
    pub(crate) path: PathBuf,
    pub(crate) remote: PathBuf,
    pub(crate) origin: String,
    pub(crate) address: String,
    pub(crate) store: Arc<dyn RunStore>,
    client: Client,
    _backend: HttpBackend,
    _folder: TempDir,
}

/// A run that has ended.
pub(crate) struct Played {
    pub(crate) id: RunId,
    /// The whole stream, as it came.
    pub(crate) text: String,
    pub(crate) frames: Vec<Value>,
}

/// Plays a script in the usual lab, to the end of its run.
pub(crate) async fn play(script: &str) -> (Lab, Played) {
    let lab = Lab::start(Plan {
        script,
        ..Plan::default()
    })
    .await;
    let played = lab.run().await;
    (lab, played)
}

impl Lab {
    pub(crate) async fn start(plan: Plan<'_>) -> Self {
        Self::start_with(plan, |_| {}).await
    }

    /// With a last change to the folder `project` and its remote before anything is served.
    pub(crate) async fn start_with(plan: Plan<'_>, prepare: impl FnOnce(&Path)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (path, folder) = make_folder();
        let remote = project::make_remote(&path, plan.files);
        prepare(&path);
        let backend = HttpBackend::start(path.join("remotes"), plan.remote.clone()).await;
        write_beside(&path, &plan);
        let config = write_config(&path, plan.config, &backend.host());
        let (store, address) = serve(config, &path.join("data")).await;
        Self {
            remote,
            origin: backend.origin(),
            address,
            store,
            client: Client::new(),
            path,
            _backend: backend,
            _folder: folder,
        }
    }

    pub(crate) fn repository(&self) -> String {
        format!("{}/owner/project.git", self.origin)
    }

    /// The server's own URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The git host, as `[repositories] hosts` names it.
    pub(crate) fn host(&self) -> String {
        self.origin.trim_start_matches("http://").to_owned()
    }

    /// Runs the job of most tests to its end.
    pub(crate) async fn run(&self) -> Played {
        self.run_with("/code", json!({})).await
    }

    /// Runs a request with more or other fields to its end.
    pub(crate) async fn run_with(&self, path: &str, fields: Value) -> Played {
        let response = self.post(path, fields).await;
        assert_eq!(response.status(), StatusCode::OK);
        read(response).await
    }

    /// The text that a path answers with.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.client.get(format!("http://{}{path}", self.address));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.expect("text")
    }

    pub(crate) async fn post(&self, path: &str, fields: Value) -> reqwest::Response {
        let mut body = json!({ "repoUrl": self.repository(), "prompt": "Change the greeting" });
        let (body_fields, fields) = (body.as_object_mut(), fields.as_object().cloned());
        body_fields
            .expect("an object")
            .extend(fields.expect("an object"));
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.header("Content-Type", "application/json");
        in_time(request.body(body.to_string()).send())
            .await
            .expect("an answer")
    }

    /// Starts a run and leaves it running.
    pub(crate) async fn begin(&self) -> (RunId, reqwest::Response) {
        let response = self.post("/code", json!({})).await;
        assert_eq!(response.status(), StatusCode::OK);
        (run_id(&response), response)
    }

    pub(crate) async fn cancel(&self, run: &RunId) {
        let url = format!("http://{}/v1/runs/{run}/cancel", self.address);
        let response = in_time(self.client.post(url).send()).await.expect("cancel");
        assert!(response.status().is_success(), "{}", response.status());
    }

    /// The patch as a client downloads it; nothing if there is none.
    pub(crate) async fn patch(&self, run: &RunId) -> Option<String> {
        let url = format!("http://{}/v1/runs/{run}/patch", self.address);
        let response = in_time(self.client.get(url).send()).await.expect("patch");
        match response.status() {
            StatusCode::NOT_FOUND => None,
            status => {
                assert_eq!(status, StatusCode::OK);
                Some(response.text().await.expect("a body"))
            }
        }
    }

    /// The patch of a run that must have one, after `git apply` took it in a clone; answers the
    /// clone's folder.
    pub(crate) async fn applied(&self, run: &RunId) -> PathBuf {
        let patch = self.patch(run).await.expect("a patch");
        let (file, clone) = (self.path.join("run.patch"), self.path.join("clone"));
        std::fs::write(&file, patch).expect("write the patch");
        let remote = self.remote.to_str().expect("UTF-8");
        project::git(&self.path, &["clone", "--quiet", remote, "clone"]);
        project::git(&clone, &["apply", "--index", file.to_str().expect("UTF-8")]);
        clone
    }

    pub(crate) async fn events(&self, run: &RunId) -> Vec<LoggedEvent> {
        let events = self.store.read(run, 0, ALL_EVENTS).await;
        events.expect("the events")
    }

    /// Waits until the run's log holds such an event.
    pub(crate) async fn until(&self, run: &RunId, wanted: impl Fn(&Event) -> bool) {
        let mut committed = self.store.watch(run);
        in_time(async {
            loop {
                committed.borrow_and_update();
                let events = self.events(run).await;
                if events.iter().any(|logged| wanted(&logged.event)) {
                    return;
                }
                let done = |logged: &LoggedEvent| matches!(logged.event, Event::Done { .. });
                assert!(!events.iter().any(done), "ended too early: {events:#?}");
                committed.changed().await.expect("more events");
            }
        })
        .await;
    }

    /// What the remote's git says.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        project::git(&self.remote, arguments)
    }

    /// The branches of the remote other than `main`.
    pub(crate) fn branches(&self) -> Vec<String> {
        let heads = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        let heads = heads.lines().filter(|name| *name != "main");
        heads.map(str::to_owned).collect()
    }

    /// The paths that the only pushed branch changes, with their status.
    pub(crate) fn pushed_paths(&self) -> String {
        let [branch] = &self.branches()[..] else {
            panic!("one branch should be pushed, not {:?}", self.branches());
        };
        self.git(&["diff", "--name-status", &format!("main..{branch}")])
    }

    /// The content of a file on the only pushed branch.
    pub(crate) fn pushed_file(&self, path: &str) -> String {
        let branch = &self.branches()[0];
        self.git(&["show", &format!("{branch}:{path}")])
    }
}

impl Played {
    pub(crate) fn done(&self) -> &Value {
        let last = self.frames.last().expect("a frame");
        assert_eq!(last["type"], "Done", "Done is not last:\n{}", self.text);
        let count = self.of("Done").len();
        assert_eq!(count, 1, "Done is not said once:\n{}", self.text);
        last
    }

    pub(crate) fn outcome(&self) -> &str {
        self.done()["outcome"].as_str().expect("an outcome")
    }

    pub(crate) fn summary(&self) -> &str {
        self.done()["summary"].as_str().expect("a summary")
    }

    /// Fails with the whole stream unless the run ended so.
    pub(crate) fn ended(&self, outcome: &str) {
        assert_eq!(self.outcome(), outcome, "\n{}", self.text);
    }

    /// The frames of a type.
    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        let frames = self.frames.iter();
        frames.filter(|frame| frame["type"] == kind).collect()
    }
}

/// Reads a stream to its end.
pub(crate) async fn read(response: reqwest::Response) -> Played {
    let id = run_id(&response);
    let text = in_time(response.text()).await.expect("a stream");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let frames = data.map(|json| serde_json::from_str(json).expect("JSON"));
    Played {
        id,
        frames: frames.collect(),
        text,
    }
}

/// The processes that belong to a run: id and command line.
pub(crate) fn processes_of(run: &RunId) -> Vec<(u32, String)> {
    let marker = format!("PULLWRIGHT_RUN={run}");
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let read = |pid: u32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).ok();
    pids.filter_map(|pid| {
        let environ = read(pid, "environ")?;
        let ours = environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == marker.as_bytes());
        let cmdline = read(pid, "cmdline")?;
        let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        ours.then_some((pid, cmdline))
    })
    .collect()
}

pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let limited = tokio::time::timeout(PATIENCE, work);
    limited.await.expect("no answer in time")
}

pub(crate) fn make_folder() -> (PathBuf, TempDir) {
    let mut builder = tempfile::Builder::new();
    // The sandbox's users must be able to pass through.
    let builder = builder
        .prefix("pullwright-lab-")
        .permissions(Permissions::from_mode(0o711));
    let folder = builder.tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path");
    (path, folder)
}

fn write_beside(folder: &Path, plan: &Plan<'_>) {
    std::fs::write(folder.join("script.toml"), plan.script).expect("write the script");
    for (name, content) in plan.beside {
        let path = folder.join(name.trim_end_matches('*'));
        std::fs::write(&path, content).expect("write a file");
        let mode = Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("set the mode");
    }
}

/// Stands for the git host in a `[repositories]` of a test's own.
const HOSTS_HERE: &str = "HOSTS_HERE";

/// Writes and reads `plugins.toml`: what a test does not say is as usual. `{HOST}` is the git host.
pub(crate) fn write_config(folder: &Path, sections: &str, host: &str) -> Config {
    let hosts = format!("hosts = [\"{host}\"]");
    let usual = [
        ("[agent]", "provider = \"script\""),
        ("[budget]", "max_usd = \"none\""),
        ("[repositories]", hosts.as_str()),
        ("[checks]", "run = []"),
        (
            "[providers.script]",
            "wire_api = \"scripted\"\nscript = \"script.toml\"",
        ),
        ("[tools.fs]", "builtin = \"fs\""),
        ("[tools.bash]", "builtin = \"bash\""),
        ("[tools.git]", "builtin = \"git\""),
        ("[sandbox]", "kind = \"local\""),
    ];
    let mut text = sections.replace(HOSTS_HERE, &hosts).replace("{HOST}", host);
    for (header, body) in usual {
        if !sections.contains(header) {
            text.push_str(&format!("\n{header}\n{body}\n"));
        }
    }
    let path = folder.join("plugins.toml");
    std::fs::write(&path, text).expect("write the configuration");
    Config::load(&path).expect("a good configuration")
}

async fn serve(config: Config, data_dir: &Path) -> (Arc<dyn RunStore>, String) {
    let metrics = Metrics::default();
    let setting = Setting {
        metrics: metrics.clone(),
        data_dir: data_dir.to_owned(),
        config_file: Some(data_dir.with_file_name("plugins.toml")),
        ..Setting::default()
    };
    let program = Path::new(PROGRAM);
    std::fs::create_dir_all(data_dir).expect("make the data folder");
    std::fs::set_permissions(data_dir, Permissions::from_mode(0o711)).expect("set the mode");
    let sandboxes =
        pullwright_sandbox::open_host(&compose::sandbox_config(&config), data_dir, program);
    let parts = compose::parts(config, sandboxes.expect("a sandbox"), &setting).await;
    let executor = Executor::new(parts.expect("the parts"));
    let file = data_dir.with_file_name("plugins.toml");
    let reload = Reload::new(file, setting, Arc::clone(&executor));
    tokio::spawn(reload.watch());
    let store = Arc::clone(&executor.parts().store);
    let runs = Runs::new(
        Arc::clone(&store),
        Arc::clone(&executor) as _,
        executor,
        RunsConfig::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let api_config = ApiConfig {
        metrics,
        ..ApiConfig::default()
    };
    let router = api::router(ApiState::with_config(runs, address, api_config));
    tokio::spawn(api::serve(listener, router, std::future::pending()));
    (store, address.to_string())
}

fn run_id(response: &reqwest::Response) -> RunId {
    let header = response.headers().get("x-run-id").expect("X-Run-Id");
    RunId(header.to_str().expect("text").to_owned())
}
