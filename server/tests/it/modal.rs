//! Sandboxes at Modal, against a double of it that really runs processes.

mod client;
mod doctor;
mod doomed;
mod double_itself;
mod faults;
mod official;
mod ownership;
mod raw;
mod runs;
mod trace;
mod warm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pullwright_core::config::{ModalConfig, SandboxConfig, SandboxKind};
use pullwright_core::sandbox::{
    Opening, ProcessExit, Sandbox, SandboxCommand, SandboxError, SandboxHost, SandboxNotice,
    SandboxProcess,
};
use pullwright_modal_double::{Double, Options, TOKEN_ID, TOKEN_SECRET};
use pullwright_protocol::RunId;
use pullwright_sandbox::ModalHost;
use pullwright_sandbox::modal::Account;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::runs::project::git;
use crate::support::in_time;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pullwright");

/// So large that it does not fit into a call.
const TOOL_HOST_BYTES: usize = 5 * 1024 * 1024;

/// A double, and a host of ours for it.
struct Bench {
    double: Double,
    host: ModalHost,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&["RUN echo building; echo done"]).await
    }

    async fn with(dockerfile: &[&str]) -> Self {
        let double = double(Duration::from_secs(1200)).await;
        let folder = tempfile::tempdir().unwrap();
        let host = host(&double, folder.path(), dockerfile);
        Self {
            double,
            host,
            folder,
        }
    }

    async fn open(&self) -> Arc<dyn Sandbox> {
        self.try_open().await.0.unwrap()
    }

    /// What came of opening a sandbox, and what was told meanwhile.
    async fn try_open(&self) -> (Result<Arc<dyn Sandbox>, SandboxError>, Vec<String>) {
        self.try_open_named(None).await
    }

    /// The same for a setup of this name.
    async fn try_open_named(
        &self,
        warm: Option<&str>,
    ) -> (Result<Arc<dyn Sandbox>, SandboxError>, Vec<String>) {
        open_at(&self.host, self.folder.path(), warm).await
    }

    /// How often a call was made.
    fn count(&self, name: &str) -> usize {
        let calls = self.double.calls();
        calls.iter().filter(|call| call.name == name).count()
    }
}

/// What came of opening a sandbox for a fresh checkout in `folder`, and what was told meanwhile.
async fn open_at(
    host: &ModalHost,
    folder: &Path,
    warm: Option<&str>,
) -> (Result<Arc<dyn Sandbox>, SandboxError>, Vec<String>) {
    let run = RunId(uuid::Uuid::now_v7().to_string());
    let checkout = folder.join(&run.0);
    std::fs::create_dir(&checkout).unwrap();
    std::fs::write(checkout.join("file"), "content\n").unwrap();
    if warm.is_some() {
        std::fs::write(checkout.join(".gitignore"), "ignored\n").unwrap();
        git(&checkout, &["init", "--quiet"]);
        git(&checkout, &["add", "."]);
        git(&checkout, &["commit", "--quiet", "--message", "first"]);
    }
    let (notices, mut told) = mpsc::channel(1000);
    let opening = Opening {
        warm,
        run: &run,
        checkout: &checkout,
        notices,
    };
    let opened = in_time(host.open(opening)).await;
    let mut lines = Vec::new();
    while let Ok(notice) = told.try_recv() {
        if let SandboxNotice::Progress(line) = notice {
            lines.push(line);
        }
    }
    (opened, lines)
}

pub(crate) async fn double(token_lifetime: Duration) -> Double {
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        pullwright: PROGRAM.into(),
        token_lifetime,
        sandbox_tokens: true,
    };
    Double::start(options).await.unwrap()
}

/// The account of the double, as its variables would say.
fn account(double: &Double) -> Account {
    account_in(double, "")
}

/// The same in an environment of this name.
fn account_in(double: &Double, environment: &str) -> Account {
    let url = double.url();
    Account::find(|name| match name {
        "MODAL_SERVER_URL" => Some(url.clone()),
        "MODAL_TOKEN_ID" => Some(TOKEN_ID.to_owned()),
        "MODAL_TOKEN_SECRET" => Some(TOKEN_SECRET.to_owned()),
        "MODAL_ENVIRONMENT" => Some(environment.to_owned()),
        _ => None,
    })
    .unwrap()
}

fn host(double: &Double, folder: &Path, dockerfile: &[&str]) -> ModalHost {
    host_of(double, folder, config(folder, dockerfile))
}

fn host_of(double: &Double, folder: &Path, modal: ModalConfig) -> ModalHost {
    host_with(account(double), folder, modal)
}

fn host_with(account: Account, folder: &Path, modal: ModalConfig) -> ModalHost {
    let config = SandboxConfig {
        kind: SandboxKind::Modal,
        modal: Some(modal),
        ..SandboxConfig::default()
    };
    ModalHost::new(&config, account, folder, Path::new(PROGRAM)).unwrap()
}

fn config(folder: &Path, dockerfile: &[&str]) -> ModalConfig {
    ModalConfig {
        dockerfile: dockerfile.iter().map(|line| (*line).to_owned()).collect(),
        app: "tests".to_owned(),
        tool_host: Some(tool_host(folder)),
        cpus: Some(0.5),
        startup_timeout: Duration::from_secs(60),
        ..ModalConfig::default()
    }
}

/// Stands for the executable: the double runs this machine's own in its place.
pub(crate) fn tool_host(folder: &Path) -> PathBuf {
    let path = folder.join("tool-host");
    std::fs::write(&path, vec![7; TOOL_HOST_BYTES]).unwrap();
    path
}

fn sh(script: &str) -> SandboxCommand {
    SandboxCommand {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..SandboxCommand::default()
    }
}

/// What a process printed until its end, and how it ended.
async fn finish(mut process: SandboxProcess) -> (String, ProcessExit) {
    let mut said = String::new();
    drop(process.stdin);
    in_time(process.stdout.read_to_string(&mut said))
        .await
        .unwrap();
    (said, in_time(process.exit).await.unwrap())
}

async fn run(sandbox: &dyn Sandbox, script: &str) -> (String, ProcessExit) {
    finish(in_time(sandbox.spawn(sh(script))).await.unwrap()).await
}

async fn until(is_so: impl Fn() -> bool) {
    until_told(async || is_so()).await;
}

/// The same where the answer is asked for.
async fn until_told(is_so: impl AsyncFn() -> bool) {
    in_time(async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while !is_so().await {
            pace.tick().await;
        }
    })
    .await;
}

/// Whether this machine has a process with `word` in its command line.
fn runs_here(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(word))
}
