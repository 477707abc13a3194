//! How a plugin is reached: in the same process, as a child process that speaks lines of JSON, over
//! HTTP, or in a native library.
//!
//! - [`RpcPeer`]: whoever answers JSON-RPC 2.0 calls and subscriptions.
//! - [`InProcessPeer`]: a jsonrpsee `RpcModule` in this process.
//! - [`LinePeer`]: a peer behind two byte streams, one message a line.
//! - [`ChildProcess`]: a host process with nothing but the environment it was given.
//! - [`McpHttp`]: an MCP server behind an address.
//! - [`NativeLibrary`]: a plugin in a library that is loaded into this process.
//! - [`connect_websocket`]: a peer behind a WebSocket address.
//! - [`LimitedReader`]: what stands in front of every peer that could flood us.
//!
//! Delivery is lossless on every link: a slow reader makes the producer wait. This crate knows no
//! tool and no model.

mod child;
mod child_lines;
mod envelope;
mod in_process;
#[expect(
    unsafe_code,
    reason = "a native library is loaded and called through C, each call with its reason"
)]
mod library;
mod limited_reader;
mod mcp_http;
mod rpc;
mod websocket;

pub use child::{ChildCommand, ChildGuard, ChildProcess};
pub use child_lines::LinePeer;
pub use in_process::InProcessPeer;
pub use library::{
    LibraryConnection, LibraryError, LibraryGuard, LibraryReader, LibraryWriter, NativeLibrary,
};
pub use limited_reader::{Asked, LimitedReader, LineLimits};
pub use mcp_http::{McpHttp, McpHttpError, McpHttpOptions};
pub use rpc::{RpcError, RpcPeer, RpcSubscription, to_params};
pub use websocket::{WebSocketConnection, WebSocketError, WebSocketGuard, connect_websocket};
