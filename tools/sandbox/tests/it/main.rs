//! The sandboxes, against real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test and its helpers fail by panicking, and say what they skipped"
)]

mod attach;
mod bench;
#[cfg(target_os = "linux")]
mod cgroup;
mod command;
mod confinement;
mod death;
#[cfg(target_os = "linux")]
mod disk;
mod egress;
mod harden;
mod modal;
mod processes;
mod refusals;
