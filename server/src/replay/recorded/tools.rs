//! Tool servers that answer as it is recorded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pullwright_core::config::{Config, Runs, ToolConfig, ToolLink};
use pullwright_core::run::{BoundToken, HostTools};
use pullwright_core::tools::{ToolIo, ToolServerError};
use pullwright_protocol::{Content, Event, ToolSpec};
use pullwright_tool_kit::{Call, Output, Refusal, ToolDef, ToolServer, serve};
use serde_json::{Map, Value};

use crate::replay::recording::Recording;

/// How many bytes may be under way between the run and a recorded server, each way.
const PIPE_BYTES: usize = 64 * 1024;

/// The row of all recorded tools, and a built-in server whose tools go by their bare names, as a conversation
/// has them.
const ALL: &str = "recorded";
const BARE: &str = "fs";

/// A built-in server whose tools are shown with their row's name.
const NAMED: &str = "git";

/// Makes one row of all tools, which plays what is recorded.
pub(in crate::replay) fn play_all(config: &mut Config) {
    config.tools.clear();
    config.tools.insert(ALL.to_owned(), row(BARE));
}

/// Makes rows on the host play what is recorded: they lead out of the sandbox. Those that have offered the
/// model nothing, such as a forge, are left out.
pub(in crate::replay) fn play_host_rows(config: &mut Config, recording: &Recording) {
    let offered = |name: &str| {
        let prefix = prefix(name);
        let mut tools = recording.tools().iter();
        tools.any(|tool| tool.name.starts_with(&prefix))
    };
    let is_wanted =
        |name: &String, own: &mut ToolConfig| own.runs == Runs::Sandbox || offered(name);
    config.tools.retain(is_wanted);
    let host = config
        .tools
        .values_mut()
        .filter(|own| own.runs == Runs::Host);
    host.for_each(|own| *own = row(NAMED));
}

fn row(builtin: &str) -> ToolConfig {
    ToolConfig {
        link: ToolLink::Builtin(builtin.to_owned()),
        runs: Runs::Host,
        required: true,
        startup_timeout: std::time::Duration::from_secs(30),
        tool_timeout: std::time::Duration::from_secs(30),
        enabled_tools: None,
        disabled_tools: Vec::new(),
        env: std::collections::BTreeMap::new(),
        env_vars: Vec::new(),
        hosts: Vec::new(),
        base_url: None,
        app: None,
        waits: pullwright_core::config::ForgeWaits::default(),
    }
}

fn prefix(row: &str) -> String {
    format!("{row}__")
}

/// The tools of a recording.
pub(in crate::replay) struct RecordedTools {
    tools: Vec<ToolSpec>,
    answers: Arc<Answers>,
}

impl RecordedTools {
    /// Those that the recorded model was offered.
    #[must_use]
    pub(in crate::replay) fn of(recording: &Recording) -> Self {
        Self {
            tools: recording.tools().to_vec(),
            answers: Arc::new(Answers::of(&recording.events)),
        }
    }

    fn server(&self, row: &str) -> ToolServer<Answers> {
        let prefix = if row == ALL {
            String::new()
        } else {
            prefix(row)
        };
        let mut server = ToolServer::new("recorded", "1", Arc::clone(&self.answers));
        for tool in &self.tools {
            let Some(name) = tool.name.strip_prefix(&prefix) else {
                continue;
            };
            let schema = serde_json::from_str(tool.input_schema.as_str()).unwrap_or_default();
            let definition = ToolDef::new(name.to_owned())
                .description(tool.description.clone())
                .schema(schema);
            let shown = tool.name.clone();
            let answer = move |answers: Arc<Answers>, _: Map<String, Value>, _: Call| {
                let answer = answers.next(&shown);
                async move { answer }
            };
            server = server.tool(definition, answer);
        }
        server
    }
}

#[async_trait]
impl HostTools for RecordedTools {
    async fn open(
        &self,
        name: &str,
        _: &ToolConfig,
        _: Option<&BoundToken>,
    ) -> Result<ToolIo, ToolServerError> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (read, write) = tokio::io::split(theirs);
        let serving = tokio::spawn(serve(self.server(name), read, write));
        let serving = tokio_util::task::AbortOnDropHandle::new(serving);
        let (read, write) = tokio::io::split(ours);
        Ok(ToolIo::bytes(read, write, serving))
    }

    /// A recorded forge needs none.
    fn takes_token(&self, _: &ToolConfig, _: &str) -> bool {
        false
    }
}

/// The answers of each tool, by the name that the model knows it by, in order.
struct Answers(Mutex<HashMap<String, VecDeque<Output>>>);

impl Answers {
    fn of(events: &[Event]) -> Self {
        let mut names = HashMap::new();
        let mut answers: HashMap<String, VecDeque<Output>> = HashMap::new();
        for event in events {
            match event {
                Event::ItemAppended { item } => {
                    if let Content::ToolCall(call) = &item.content {
                        names.insert(call.call_id.clone(), call.name.clone());
                    }
                }
                // Without a server it was answered by the loop itself.
                Event::ToolAnswered {
                    call_id,
                    server,
                    parts,
                    is_error,
                    structured,
                    ..
                } if !server.is_empty() => {
                    let output = Output {
                        parts: parts.clone(),
                        is_error: *is_error,
                        structured: structured.clone(),
                        attachments: Vec::new(),
                    };
                    if let Some(name) = names.get(call_id) {
                        answers.entry(name.clone()).or_default().push_back(output);
                    }
                }
                _ => {}
            }
        }
        Self(Mutex::new(answers))
    }

    fn next(&self, name: &str) -> Result<Output, Refusal> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = answers.get_mut(name).and_then(VecDeque::pop_front);
        next.ok_or_else(|| Refusal::new(format!("the recording has no more results of `{name}`")))
    }
}
