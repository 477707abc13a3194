//! The file tools, from outside.

#![expect(
    clippy::unwrap_used,
    reason = "a test and its helpers fail by panicking"
)]

mod link;
mod outside;
mod parallel;
mod patches;
mod properties;
mod scenarios;
mod tree;
