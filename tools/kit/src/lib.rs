//! What the author of a tool server needs: a struct, `schemars` arguments, one async fn per tool.
//!
//! ```
//! use std::sync::Arc;
//! use pullwright_tool_kit::{Call, Output, Refusal, ToolDef, ToolServer};
//!
//! struct Words;
//!
//! /// Counts the words of a text.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Count {
//!     /// The text to count in.
//!     text: String,
//! }
//!
//! impl Words {
//!     async fn count(self: Arc<Self>, args: Count, _call: Call) -> Result<Output, Refusal> {
//!         Ok(Output::text(args.text.split_whitespace().count().to_string()))
//!     }
//! }
//!
//! let server = ToolServer::new("words", "1.0.0", Arc::new(Words))
//!     .tool(ToolDef::new("count").read_only(), Words::count);
//! assert_eq!(server.name(), "words");
//! ```
//!
//! Tools that work on files find them through [`Workspace`], from which no path leads out, and keep
//! long output in bounds with [`HeadTail`].

mod arguments;
mod bounded;
mod call;
#[cfg(feature = "http")]
mod http;
#[expect(
    unsafe_code,
    reason = "the border to a host in another language, each call with its reason"
)]
pub mod library;
mod panics;
mod schema;
mod server;
mod tool;
mod workspace;

pub use bounded::{HeadTail, bounded_text};
pub use call::{Attachment, Call, Output, Refusal};
#[cfg(feature = "http")]
pub use http::{HTTP_PATH, HttpAccess, HttpAccessError, http_router, serve_http};
pub use pullwright_protocol as protocol;
pub use pullwright_protocol::ToolView;
pub use server::{SameName, ToolServer, serve, serve_stdio};
pub use tool::ToolDef;
pub use workspace::{NewFolders, PathError, Place, Workspace};
