//! `local`: namespaces of the Linux kernel around every process of a run.
//!
//! Three kinds of our own processes stand between the server and what the model runs, all of them
//! the server's executable, started once with [`LAUNCHER_ARGUMENT`] and then only forked:
//!
//! ```text
//! server ── launcher ──▶ init, process 1 inside ──▶ supervisor ──▶ the command and all it starts
//!    └─────── a socket for each sandbox ──┴──────────────┘
//! ```
//!
//! - The launcher, one for all sandboxes, creates the namespaces, maps the one user, and waits. It
//!   never hears from inside.
//! - Init builds the view of the file system, gives up every right, and then starts processes for
//!   the server, whose descriptors come over the socket.
//! - A supervisor waits for one command and ends whatever that command left running, before its
//!   end is told.
//!
//! Each dies with the one before it, so nothing outlives the server. What is deliberately absent:
//! a weaker mode. If the kernel refuses a step, the sandbox is refused, with the error and the remedy.

mod client;
mod descriptors;
mod folders;
mod host;
mod init;
mod launcher;
mod network;
mod plan;
mod refusal;
mod sandbox;
mod signals;
mod step;
mod toolchains;
mod wire;

pub use client::{InnerCommand, Launcher, LocalInit};
pub use host::LocalHost;
pub use init::landlock_abi;
pub use launcher::launcher_main;
pub use plan::{HOME, Limits, Plan, ReadOnly, USER_ID, WORKSPACE};

/// The first argument with which the executable is the launcher instead of the command line. Its
/// `main` must look for it before it starts a thread or reads anything.
pub const LAUNCHER_ARGUMENT: &str = "sandbox-launcher";

/// The name of this kind.
const KIND: &str = "local";
