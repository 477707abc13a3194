//! What an author of a provider needs.

mod known;
mod module;
mod provider;
mod stdio;

pub use module::rpc_module;
pub use provider::{Cancelled, DeltaSender, Finish, Provider};
pub use stdio::{serve_lines, serve_stdio};
