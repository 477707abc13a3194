//! The tests of the core, in one binary.

mod config;
mod tools;
