//! The `command` sandbox: its language, its processes, and insides that break the rules.

mod bench;
mod codec;
mod hostile;
mod opening;
mod processes;
mod workspace;
