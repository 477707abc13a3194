//! The loop, the run's stages and the seams.
//!
//! A run turns one sentence into a pull request: prepare → work → check → publish → finish.
//! This crate knows no vendor, speaks no HTTP, opens no socket and starts no process: models are
//! reached through [`provider`], tools through MCP ([`tools`]), processes through [`sandbox`], git
//! through [`source`], and everything a run says goes through its event [`log`] to [`store`].

pub mod agent;
pub mod budget;
pub mod caller_token;
pub mod config;
pub mod conversation;
pub mod forge;
pub mod log;
pub mod provider;
pub mod removal;
pub mod run;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod tools;
