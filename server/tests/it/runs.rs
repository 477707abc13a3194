//! Whole runs: the real server, the real loop, the scripted model, the real tool servers in real
//! processes, and git over HTTP.

mod checks;
mod circles;
pub(crate) mod command_line;
mod command_sandbox;
mod context;
mod crash;
mod cut_off;
mod demo;
mod edit_tool;
mod endings;
mod faults;
pub(crate) mod follow_ups;
mod foreign_tools;
mod forges;
mod hostile;
mod inside;
pub(crate) mod lab;
mod links;
mod list_command;
mod messages;
mod metrics;
mod moved_base;
mod native;
pub(crate) mod project;
mod provider_links;
mod publishing;
mod reasoning;
mod redact;
mod registry;
mod reload;
mod replay;
mod resume_command;
mod secrets;
mod streams;
mod tool_servers;
mod trust;
