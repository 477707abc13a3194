//! A plugin-driven coding agent: one sentence in, a pull request out.
//!
//! The composition root: it puts the parts together and holds what a server is made of.
//!
//! - [`access`]: who may do what.
//! - [`api`]: the HTTP API.
//! - [`runs`]: the registry of runs.
//! - [`problem`]: why a request is refused.
//! - [`store`]: runs and events on SQLite and Postgres.
//! - [`retention`]: what becomes of runs that ended long ago.
//! - [`replay`]: drives a recorded run again.
//! - [`metrics`]: what is counted.
//! - [`traces`]: a trace of each run, for OpenTelemetry.
//! - [`logging`]: the lines of the log.
//! - [`compose`]: the parts, put together by a configuration.
//! - [`webhooks`]: runs that begin on a code host.
//! - [`cli`]: the command line.

pub mod access;
pub mod api;
pub mod cli;
pub mod compose;
pub mod logging;
pub mod metrics;
pub mod problem;
pub mod replay;
pub mod retention;
pub mod runs;
pub mod runtime;
pub mod store;
pub mod tokens;
pub mod traces;
pub mod webhooks;
