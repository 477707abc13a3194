//! Tests of the server, through its public parts.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a broken expectation fails the test, in a helper too, and a skipped test says so"
)]

mod api;
mod architecture;
mod canary;
mod deployment;
mod doctor;
#[cfg(target_os = "linux")]
mod escapes;
mod examples;
mod fault_matrix;
mod foreign_peers;
mod gitlab;
mod key_commands;
mod kills;
mod main_job;
mod metrics_list;
mod modal;
mod peers;
mod presets;
mod private_service;
mod probe;
mod registry;
mod runs;
#[cfg(target_os = "linux")]
mod sandbox;
mod served;
mod store;
mod support;
mod tool_host;
mod tool_http;
mod traces;
mod webhooks;
mod wires;
