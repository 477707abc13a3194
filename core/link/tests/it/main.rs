//! The links, each against the same jsonrpsee module.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and a skipped one says so"
)]

mod child;
mod fixture;
mod library;
mod limits;
mod lines;
mod peers;
