//! The MCP client of a run, played by the public conformance suite. For development only.
//!
//! The suite starts this with the address of a server as the last argument and names the scenario in
//! `MCP_CONFORMANCE_SCENARIO`. What it does is what a run does: connect, list the tools, call them,
//! through the very [`ToolServer`] and HTTP link that runs use; only which tools are called, and with
//! what, is decided here instead of by a model.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::tools::{
    ApproveAll, Connector, ToolIo, ToolServer, ToolServerError, ToolServerOptions,
};
use pullwright_link::{McpHttp, McpHttpOptions};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A tool's name and its arguments.
type NamedCall = (String, Map<String, Value>);

/// A scenario that takes longer has failed anyway.
const TIMEOUT: Duration = Duration::from_secs(20);

/// As in a run.
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().next_back().unwrap_or_default();
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let server = connect(Address(url)).await?;
    for (tool, arguments) in calls(&server, &scenario)? {
        call(&server, &tool, arguments).await?;
    }
    Ok(())
}

struct Address(String);

#[async_trait]
impl Connector for Address {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        let unusable = |reason: String| ToolServerError::Startup {
            name: "conformance".to_owned(),
            reason,
        };
        let url = self.0.parse();
        let url = url.map_err(|error| unusable(format!("`{}` is no address: {error}", self.0)))?;
        let http = McpHttp::new(&McpHttpOptions {
            url,
            bearer_token: None,
            headers: Vec::new(),
            first_byte_timeout: TIMEOUT,
            discover_timeout: DISCOVER_TIMEOUT,
        });
        http.map(ToolIo::Http)
            .map_err(|error| unusable(error.to_string()))
    }
}

async fn connect(address: Address) -> Result<ToolServer, ToolServerError> {
    let options = ToolServerOptions {
        name: "conformance".to_owned(),
        builtin: false,
        short_names: false,
        startup_timeout: TIMEOUT,
        tool_timeout: TIMEOUT,
        enabled_tools: None,
        disabled_tools: Vec::new(),
        required: true,
    };
    ToolServer::connect(options, Arc::new(address), Arc::new(ApproveAll)).await
}

/// The calls a scenario wants: those it gives in its context, or every tool listed.
fn calls(server: &ToolServer, scenario: &str) -> Result<Vec<NamedCall>, Box<dyn Error>> {
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "{}".to_owned());
    let context: Value = serde_json::from_str(&context)?;
    if let Some(given) = context["toolCalls"].as_array() {
        return Ok(given.iter().map(given_call).collect());
    }
    let names = server.tools().iter().map(|tool| tool.name.to_string());
    Ok(names
        .map(|name| {
            let arguments = arguments_of(server, scenario, &name);
            (name, arguments)
        })
        .collect())
}

fn given_call(call: &Value) -> NamedCall {
    let name = call["name"].as_str().unwrap_or_default();
    let arguments = call["arguments"].as_object().cloned();
    (name.to_owned(), arguments.unwrap_or_default())
}

/// The arguments where a scenario looks at them.
fn arguments_of(server: &ToolServer, scenario: &str, tool: &str) -> Map<String, Value> {
    let arguments = match (scenario, tool) {
        (_, "add_numbers") => json!({ "a": 5, "b": 3 }),
        // The schema of the one tool is given to the other, as it came.
        ("json-schema-2020-12-preservation", echo) => {
            let tools = server.tools().iter();
            let mut others = tools.filter(|other| other.name != echo);
            let schema = others
                .next()
                .map(|other| Value::clone(&json!(*other.input_schema)));
            json!({ "schema": schema })
        }
        _ => json!({}),
    };
    arguments.as_object().cloned().unwrap_or_default()
}

/// A refusal of the tool is an answer too, as it is to a model.
async fn call(
    server: &ToolServer,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<(), Box<dyn Error>> {
    let (output, _pieces) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let answer = server.call(tool, arguments, Default::default(), &output, &cancel);
    match answer.await {
        Ok(_) | Err(pullwright_core::tools::ToolCallError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
