//! How a plugin is reached: in the same process, as a child process that speaks lines of JSON, or
//! over HTTP.
//!
//! - [`RpcPeer`]: whoever answers JSON-RPC 2.0 calls and subscriptions.
//! - [`InProcessPeer`]: a jsonrpsee `RpcModule` in this process.
//! - [`LinePeer`]: a peer behind two byte streams, one message a line.
//! - [`ChildProcess`]: a host process with nothing but the environment it was given.
//! - [`McpHttp`]: an MCP server behind an address.
//! - [`LimitedReader`]: what stands in front of every peer that could flood us.
//!
//! Delivery is lossless on every link: a slow reader makes the producer wait. This crate knows no
//! tool and no model.

mod child;
mod child_lines;
mod envelope;
mod in_process;
mod limited_reader;
mod mcp_http;
mod rpc;

pub use child::{ChildCommand, ChildGuard, ChildProcess};
pub use child_lines::LinePeer;
pub use in_process::InProcessPeer;
pub use limited_reader::{Asked, LimitedReader, LineLimits};
pub use mcp_http::{McpHttp, McpHttpError, McpHttpOptions};
pub use rpc::{RpcError, RpcPeer, RpcSubscription, to_params};
