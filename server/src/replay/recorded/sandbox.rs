//! A sandbox in which nothing runs: checks and setup end as it is recorded.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pullwright_core::sandbox::{
    KillSwitch, Opening, ProcessExit, Sandbox, SandboxCommand, SandboxError, SandboxHandle,
    SandboxHost, SandboxNotice, SandboxProcess,
};
use pullwright_protocol::Event;
use tokio::sync::{mpsc, oneshot};

use crate::replay::recording::{Recording, WORKSPACE_LINE, text_of, workspace_of};

const KIND: &str = "recorded";

/// What stands for the program that holds the tool servers.
const TOOL_HOST: &str = "pullwright";

/// What the first item says of the environment, between these.
const ENVIRONMENT: (&str, &str) = ("# Environment\n", "\nRepository: ");

/// Opens sandboxes as a run is recorded to have had.
pub(in crate::replay) struct RecordedSandboxes {
    played: Arc<Played>,
}

/// What commands give.
struct Played {
    workspace: PathBuf,
    environment: String,
    setup: Vec<String>,
    /// The ends of each check, in order.
    checks: Mutex<HashMap<String, VecDeque<Ended>>>,
}

/// How a command ended.
#[derive(Clone, Default)]
struct Ended {
    /// Nothing where it did not end in time.
    code: Option<i32>,
    output: String,
}

impl RecordedSandboxes {
    /// The sandboxes of a recording.
    #[must_use]
    pub(in crate::replay) fn of(recording: &Recording) -> Self {
        let mut checks: HashMap<String, VecDeque<Ended>> = HashMap::new();
        let mut setup = Vec::new();
        for event in &recording.events {
            match event {
                Event::CommandsChosen { setup: chosen, .. } => setup.clone_from(chosen),
                Event::Checked { report } => {
                    let ended = Ended {
                        code: report.exit_code,
                        output: report.output_tail.clone(),
                    };
                    let ends = checks.entry(report.command.clone()).or_default();
                    ends.push_back(ended);
                }
                _ => {}
            }
        }
        let first = recording.first_item();
        let played = Played {
            workspace: workspace_of(first).unwrap_or("/workspace").into(),
            environment: environment_of(recording).unwrap_or_default(),
            setup,
            checks: Mutex::new(checks),
        };
        Self {
            played: Arc::new(played),
        }
    }
}

fn environment_of(recording: &Recording) -> Option<String> {
    let text = text_of(recording.first_item().first()?)?;
    let (_, rest) = text.split_once(ENVIRONMENT.0)?;
    let (environment, _) = rest.split_once(ENVIRONMENT.1)?;
    Some(environment.to_owned())
}

#[async_trait]
impl SandboxHost for RecordedSandboxes {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn open(&self, _: Opening<'_>) -> Result<Arc<dyn Sandbox>, SandboxError> {
        Ok(Arc::new(RecordedSandbox {
            played: Arc::clone(&self.played),
        }))
    }

    async fn attach(
        &self,
        _: &SandboxHandle,
        _: mpsc::Sender<SandboxNotice>,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        Err(SandboxError::Lost {
            kind: KIND,
            reason: "nothing of it stays".to_owned(),
        })
    }
}

struct RecordedSandbox {
    played: Arc<Played>,
}

#[async_trait]
impl Sandbox for RecordedSandbox {
    fn workspace(&self) -> &Path {
        &self.played.workspace
    }

    fn tool_host(&self) -> &Path {
        Path::new(TOOL_HOST)
    }

    async fn spawn(&self, command: SandboxCommand) -> Result<SandboxProcess, SandboxError> {
        let ended = self.played.end_of(&command.argv);
        let ended = ended.ok_or_else(|| SandboxError::Spawn {
            program: command.argv.join(" "),
            source: io::Error::other("the recording does not say how it ends"),
        })?;
        Ok(process(ended))
    }

    fn handle(&self) -> SandboxHandle {
        SandboxHandle {
            kind: KIND.to_owned(),
            data: serde_json::Value::Null,
        }
    }

    async fn leave(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SandboxError> {
        Ok(())
    }
}

impl Played {
    /// How a command ends, as far as it is known.
    fn end_of(&self, argv: &[String]) -> Option<Ended> {
        let well = |output: &str| Ended {
            code: Some(0),
            output: output.to_owned(),
        };
        let [shell, flag, script] = argv else {
            let is_tool_host = argv.first().is_some_and(|program| program == TOOL_HOST);
            return is_tool_host.then(|| well(""));
        };
        if (shell.as_str(), flag.as_str()) != ("sh", "-c") {
            return (shell == TOOL_HOST).then(|| well(""));
        }
        let (_, command) = script.split_once('\n')?;
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = checks.get_mut(command) {
            return ends.pop_front();
        }
        if self.setup.iter().any(|known| known == command) {
            return Some(well(""));
        }
        // The one that asks what there is to work with.
        let looks_around = command.contains(WORKSPACE_LINE);
        looks_around.then(|| well(&self.environment))
    }
}

/// A process that has ended, or never will.
fn process(ended: Ended) -> SandboxProcess {
    let (end, exit) = oneshot::channel();
    let kill = match ended.code {
        Some(code) => {
            let _ = end.send(ProcessExit::Code(code));
            KillSwitch::new(|| {})
        }
        None => KillSwitch::new(move || drop(end)),
    };
    SandboxProcess {
        stdin: Box::new(tokio::io::sink()),
        stdout: Box::new(io::Cursor::new(ended.output.into_bytes())),
        stderr: Box::new(tokio::io::empty()),
        exit,
        kill,
    }
}
