//! What a run had around it, as it is recorded: its tools, its sandbox, its checks and its work.

mod sandbox;
mod tools;
mod work;

pub(super) use sandbox::RecordedSandboxes;
pub(super) use tools::{RecordedTools, play_all, play_host_rows};
pub(super) use work::RecordedWork;
