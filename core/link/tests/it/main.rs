//! The links, each against the same jsonrpsee module.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod child;
mod fixture;
mod limits;
mod lines;
mod peers;
