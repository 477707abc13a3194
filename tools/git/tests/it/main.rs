//! The git tools and the workspace commands, checked against the real git.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod export;
mod hostile;
mod property;
mod repository;
mod scenarios;
mod settle;
mod tools;
