//! PyPI `mcp`: the protocol's Python SDK.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::process::{Peers, free_port};

/// Python and its imports take a while on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A tool server by the SDK's own means: over stdio, or over HTTP on the port given.
pub(crate) const SERVER: &str = r#"
import sys
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("python")

@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b

@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts, and says how far it is."""
    for n in range(1, to + 1):
        await ctx.report_progress(n, to, f"at {n}")
    return "counted"

@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("on purpose")

if sys.argv[1:]:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run("stdio")
"#;

/// The SDK's client: over stdio with the command that starts the server, or over HTTP with its address.
pub(crate) const CLIENT: &str = r#"
import asyncio
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client


async def use(streams):
    async with ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        tools = await session.list_tools()
        names = sorted(tool.name for tool in tools.tools)
        read = await session.call_tool("read", {"path": "a.txt"})
        ran = await session.call_tool("bash", {"command": "wc -l < a.txt"})
        missing = await session.call_tool("read", {"path": "missing"})
        print(",".join(names))
        print(read.content[0].text.strip(), "|", ran.content[0].text, "|", missing.is_error)


async def main():
    if sys.argv[1] == "stdio":
        server = StdioServerParameters(command=sys.argv[2], args=sys.argv[3:])
        async with stdio_client(server) as streams:
            await use(streams)
    else:
        async with streamable_http_client(sys.argv[2]) as streams:
            await use(streams)


asyncio.run(main())
"#;

/// A server over HTTP. It ends with its value.
pub(crate) struct PythonHttp {
    pub(crate) url: String,
    _child: Child,
}

impl Peers {
    /// The Python that has the SDK.
    pub(crate) fn python(&self) -> PathBuf {
        let python = self.root().join("python/bin/python");
        assert!(
            python.exists(),
            "{} is missing; run .ci/peers/install",
            python.display()
        );
        python
    }
}

impl PythonHttp {
    /// Starts [`SERVER`], which lies in `script`, and waits until it listens.
    pub(crate) async fn start(peers: &Peers, script: &std::path::Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(peers.python());
        command.arg(script).arg(address.port().to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                assert!(
                    child.try_wait().unwrap().is_none(),
                    "the Python server ended"
                );
                tokio::task::yield_now().await;
            }
        };
        let listening = tokio::time::timeout(START_LIMIT, listening).await;
        listening.expect("the Python server does not listen");
        Self {
            url: format!("http://{address}/mcp"),
            _child: child,
        }
    }
}
