//! The git tools, and the export of a workspace as a bundle.
//!
//! Everything here runs inside a sandbox, beside what it looks at, and starts no program: git itself
//! may be absent there, and a repository that an agent has written can make git run anything.

mod base;
mod deadline;
mod error;
mod export;
mod files;
mod glob;
mod ignore_rules;
mod keep;
mod names;
mod settle;
mod snapshot;
mod tools;

pub use error::WorkspaceError;
pub use export::{ExportOptions, ExportSummary, SANDBOX_IDENTITY, WORK_REF, export};
pub use keep::keep;
pub use settle::{SettleSummary, settle};
pub use snapshot::{ExportLimits, LeftOut};
pub use tools::{GitTools, server};
