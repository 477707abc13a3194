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

use pullwright_protocol::tool::ROLE_META_KEY;
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
        let view = definition.meta.as_ref().and_then(|meta| {
            let view = meta.get(pullwright_protocol::tool::VIEW_META_KEY)?;
            serde_json::from_value(view.clone()).ok()
        });
        let hints = definition.annotations.as_ref();
        let schema = Value::Object(Map::clone(&definition.input_schema));
        Self {
            name: definition.name.to_string(),
            view: view.unwrap_or_default(),
            read_only: hints
                .and_then(|hints| hints.read_only_hint)
                .unwrap_or(false),
            spec: ToolSpec {
                name: shown.to_owned(),
                description: capped(definition.description.as_deref().unwrap_or_default()),
                input_schema: RawJson::from(&schema),
            },
            server,
        }
    }

    fn qualified_name(&self) -> String {
        format!("{}.{}", self.server.name(), self.name)
    }
}

/// The pipeline role a tool's definition names, if any.
pub(crate) fn role_of(tool: &rmcp::model::Tool) -> Option<&str> {
    tool.meta.as_ref()?.get(ROLE_META_KEY)?.as_str()
}

fn capped(description: &str) -> String {
    let mut end = description.len().min(MAX_DESCRIPTION_BYTES);
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    description[..end].to_owned()
}
