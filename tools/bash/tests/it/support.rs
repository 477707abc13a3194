//! A workspace to run in, and ways to look at processes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pullwright_bash::Shell;
use pullwright_tool_kit::protocol::item::joined_text;
use pullwright_tool_kit::{Call, Output, Refusal, ToolServer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A shell tool in a folder of its own.
pub(crate) struct Workspace {
    pub(crate) folder: TempDir,
    pub(crate) server: ToolServer<Shell>,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.txt"), "of the workspace\n").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/inner.txt"), "inner\n").unwrap();
        let server = pullwright_bash::server(folder.path().to_owned());
        Self { folder, server }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) async fn call(&self, arguments: Value) -> Result<Output, Refusal> {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object");
        };
        self.server.call("bash", arguments, Call::detached()).await
    }

    /// Runs a command that must not be refused.
    pub(crate) async fn run(&self, command: &str) -> Output {
        self.call(json!({ "command": command })).await.unwrap()
    }
}

pub(crate) fn text(output: &Output) -> String {
    joined_text(&output.parts)
}

pub(crate) fn structured<'a>(output: &'a Output, key: &str) -> &'a Value {
    &output.structured.as_ref().unwrap()[key]
}

/// Waits, within bounds, for a condition of the world outside of this process.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "waited in vain: {what}");
        tick.tick().await;
    }
}

/// The process number a command wrote into `file`, once it is there.
pub(crate) async fn pid_in(workspace: &Workspace, file: &str) -> u32 {
    let path = workspace.root().join(file);
    until(file, || {
        let text = fs::read_to_string(&path).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    })
    .await
}

/// Whether the process exists and has not ended.
pub(crate) fn lives(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X']),
        Err(_) => false,
    }
}

pub(crate) async fn until_dead(pid: u32) {
    until(&format!("process {pid} is dead"), || {
        (!lives(pid)).then_some(())
    })
    .await;
}
