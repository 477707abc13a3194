//! The tools of a run: MCP servers behind one table of names.

mod approval;
mod connector;
mod lock;
mod names;
mod notice;
mod progress;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use pullwright_protocol::tool::{EDIT_FORMAT_META_KEY, ROLE_META_KEY, VIEW_META_KEY};
use pullwright_protocol::{RawJson, ToolSpec, ToolView};
use serde_json::{Map, Value};

pub use approval::{Approval, ApprovalError, ApproveAll, Withheld};
pub use connector::{Connector, OpenOnce, ToolIo};
pub use lock::{ToolChange, ToolLock, is_hidden, with_hidden_characters};
pub use names::NameCollision;
pub use rmcp::model::Tool as ToolDefinition;

pub use notice::{ListChange, ToolNotice};
pub use server::{ToolAnswer, ToolCallError, ToolServer, ToolServerError, ToolServerOptions};

/// The longest tool description shown to a model, in bytes: keeps a server from filling the context.
const MAX_DESCRIPTION_BYTES: usize = 4096;

/// The tool servers of a run and the names a model knows their tools by.
#[derive(Default)]
pub struct ToolBox {
    servers: Vec<Arc<ToolServer>>,
    by_name: BTreeMap<String, Tool>,
}

/// A tool a model may call.
#[derive(Clone)]
pub struct Tool {
    /// Its server.
    pub server: Arc<ToolServer>,
    /// Its name on that server.
    pub name: String,
    /// How its calls are shown.
    pub view: ToolView,
    /// Whether it changes nothing, so that calls may run side by side.
    pub read_only: bool,
    edit_format: Option<String>,
    spec: ToolSpec,
}

impl ToolBox {
    /// Names the tools of `servers`. Tools with a role in the pipeline get no name.
    ///
    /// # Errors
    /// When two tools would get the same name.
    pub fn new(servers: Vec<Arc<ToolServer>>) -> Result<Self, NameCollision> {
        let mut by_name = BTreeMap::new();
        for server in &servers {
            for definition in server.tools().iter().filter(|tool| role_of(tool).is_none()) {
                let shown =
                    names::shown_name(server.name(), &definition.name, server.short_names());
                let tool = Tool::new(Arc::clone(server), definition, &shown);
                if let Some(other) = by_name.insert(shown.clone(), tool) {
                    return Err(NameCollision {
                        shown,
                        first: other.qualified_name(),
                        second: format!("{}.{}", server.name(), definition.name),
                    });
                }
            }
        }
        Ok(Self { servers, by_name })
    }

    /// Without tools that change files in another format than `wanted`, where one in that format is
    /// there: two ways to do the same make a model stumble.
    #[must_use]
    pub fn with_edit_format(mut self, wanted: &str) -> Self {
        let is_there = self.by_name.values().any(|tool| tool.edits_by(wanted));
        if is_there {
            self.by_name
                .retain(|_, tool| tool.edit_format.is_none() || tool.edits_by(wanted));
        }
        self
    }

    /// The tools as offered to a model, sorted by name, so that the bytes are always the same.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.by_name
            .values()
            .map(|tool| tool.spec.clone())
            .collect()
    }

    /// The tool a model calls by this name.
    #[must_use]
    pub fn get(&self, shown: &str) -> Option<&Tool> {
        self.by_name.get(shown)
    }

    /// The known name nearest to `shown`.
    #[must_use]
    pub fn nearest(&self, shown: &str) -> Option<&str> {
        let names = self.by_name.keys().map(String::as_str);
        names.max_by(|a, b| {
            strsim::jaro_winkler(a, shown).total_cmp(&strsim::jaro_winkler(b, shown))
        })
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[Arc<ToolServer>] {
        &self.servers
    }
}

impl Tool {
    fn new(server: Arc<ToolServer>, definition: &rmcp::model::Tool, shown: &str) -> Self {
        let said = |key: &str| definition.meta.as_ref()?.get(key).cloned();
        let view = said(VIEW_META_KEY).and_then(|view| serde_json::from_value(view).ok());
        let edit_format = said(EDIT_FORMAT_META_KEY);
        let hints = definition.annotations.as_ref();
        let schema = Value::Object(Map::clone(&definition.input_schema));
        Self {
            name: definition.name.to_string(),
            view: view.unwrap_or_default(),
            read_only: hints
                .and_then(|hints| hints.read_only_hint)
                .unwrap_or(false),
            edit_format: edit_format.and_then(|format| format.as_str().map(str::to_owned)),
            spec: ToolSpec {
                name: shown.to_owned(),
                description: capped(definition.description.as_deref().unwrap_or_default()),
                input_schema: RawJson::from(&schema),
            },
            server,
        }
    }

    fn edits_by(&self, format: &str) -> bool {
        self.edit_format.as_deref() == Some(format)
    }

    fn qualified_name(&self) -> String {
        format!("{}.{}", self.server.name(), self.name)
    }
}

/// The pipeline role a tool's definition names, if any.
#[must_use]
pub fn role_of(tool: &rmcp::model::Tool) -> Option<&str> {
    tool.meta.as_ref()?.get(ROLE_META_KEY)?.as_str()
}

fn capped(description: &str) -> String {
    let mut end = description.len().min(MAX_DESCRIPTION_BYTES);
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    description[..end].to_owned()
}
