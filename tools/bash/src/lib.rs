//! The shell tool: one command, one process, bounded in time and output.
//!
//! A command is started directly in the workspace, without a terminal, without input and without
//! profile files. What it prints is read to the end however much it is; the model sees the head and
//! the tail, cleaned of what only a terminal understands.
//!
//! What ends when:
//! - at the time-out, and when the client cancels, the whole process tree of that command;
//! - after an ordinary end, nothing: a process left in the background (a development server) lives on;
//! - when the server is dropped, every process any of its commands left behind.
//!
//! A server that is itself killed cannot clean up: the sandbox around it does. Processes that left
//! their group are found through /proc; where there is none (macOS), only the group is killed, and
//! what a finished command left in the background stays. [`own_process`] closes the last gap on
//! Linux: processes that shed every trace of their origin.

mod args;
mod capture;
mod clean;
mod environment;
mod live;
mod orphans;
mod processes;
mod report;
mod running;
mod script;
mod shell;
mod signals;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use pullwright_tool_kit::{ToolDef, ToolServer, ToolView};

pub use args::Bash;
pub use orphans::own_process;
pub use shell::Shell;

/// The shell tool, for commands in the workspace `root`.
#[must_use]
pub fn server(root: PathBuf) -> ToolServer<Shell> {
    let view = ToolView::Bash {
        command: "command".to_owned(),
    };
    ToolServer::new(
        "bash",
        env!("CARGO_PKG_VERSION"),
        Arc::new(Shell::new(root)),
    )
    .tool(ToolDef::new("bash").view(view), Shell::bash)
}
