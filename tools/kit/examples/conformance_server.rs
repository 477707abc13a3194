//! The tools that MCP's conformance suite calls, written as any author writes tools, over HTTP.
//!
//! Takes the address to listen on and prints where the tools are. The suite sends no token, so it is open to this machine.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{
    Attachment, Call, HTTP_PATH, HttpAccess, Output, Refusal, ToolDef, ToolServer, serve_http,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// A sound without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

/// No arguments.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Whatever its own schema allows.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
struct Anything(#[expect(dead_code, reason = "the tool answers the same to all")] Value);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("name the address to listen on")?;
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "http://{address}{HTTP_PATH}")?;
    let access = HttpAccess::open_on_loopback(address)?;
    serve_http(server()?, listener, access, CancellationToken::new()).await?;
    Ok(())
}

fn server() -> Result<ToolServer<()>, serde_json::Error> {
    let schema = serde_json::from_value(schema_2020_12())?;
    let headers = serde_json::from_value(schema_with_headers())?;
    let server = ToolServer::new("conformance", "1.0.0", Arc::new(()))
        .tool(ToolDef::new("test_simple_text").read_only(), text)
        .tool(ToolDef::new("test_image_content").read_only(), image)
        .tool(ToolDef::new("test_audio_content").read_only(), audio)
        .tool(ToolDef::new("test_embedded_resource").read_only(), document)
        .tool(
            ToolDef::new("test_multiple_content_types").read_only(),
            mixed,
        )
        .tool(ToolDef::new("test_error_handling").read_only(), refused)
        .tool(
            ToolDef::new("test_tool_with_progress").read_only(),
            progress,
        )
        .tool(
            ToolDef::new("json_schema_2020_12_tool").schema(schema),
            anything,
        )
        .tool(
            ToolDef::new("test_custom_headers").schema(headers),
            anything,
        );
    Ok(server)
}

async fn text(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    Ok(Output::text("This is a simple text response for testing."))
}

async fn image(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    Ok(Output {
        parts: vec![picture()],
        ..Output::default()
    })
}

async fn audio(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    Ok(Output::default().with(Attachment::Audio {
        media_type: "audio/wav".to_owned(),
        data: WAV.to_owned(),
    }))
}

async fn document(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    Ok(Output::default().with(Attachment::Document {
        uri: "test://embedded-resource".to_owned(),
        media_type: "text/plain".to_owned(),
        text: "This is an embedded resource content.".to_owned(),
    }))
}

async fn mixed(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    let mut output = Output::text("Multiple content types test:");
    output.parts.push(picture());
    Ok(output.with(Attachment::Document {
        uri: "test://mixed-content-resource".to_owned(),
        media_type: "application/json".to_owned(),
        text: json!({"test": "data", "value": 123}).to_string(),
    }))
}

async fn refused(_: Arc<()>, _: Nothing, _: Call) -> Result<Output, Refusal> {
    Err(Refusal::new(
        "This tool intentionally returns an error for testing",
    ))
}

async fn progress(_: Arc<()>, _: Nothing, call: Call) -> Result<Output, Refusal> {
    for done in [0, 50, 100] {
        call.step(done, 100, "working").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Output::text("done"))
}

async fn anything(_: Arc<()>, _: Anything, _: Call) -> Result<Output, Refusal> {
    Ok(Output::text("taken"))
}

fn picture() -> Part {
    Part::Image {
        media_type: "image/png".to_owned(),
        data: PNG.to_owned(),
    }
}

/// Keywords that no Rust type has.
fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Takes whatever its schema allows.",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

/// Arguments that clients repeat in headers, for what stands between them and the server.
fn schema_with_headers() -> Value {
    json!({
        "description": "Takes a region, which is in a header too.",
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "query": {"type": "string"},
        },
    })
}
