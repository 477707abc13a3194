//! The shell tool, run for real.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it skipped"
)]

mod background;
mod ends;
mod host;
mod link;
mod output;
mod scenarios;
mod support;
