//! Evidence: what a check's command did, recorded by the framework.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a check ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckPhase {
    /// On the untouched base: the baseline.
    Before,
    /// On a clean checkout of exactly the tree that is pushed.
    After,
}

/// One run of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// The command, as run by `sh -c` in the workspace.
    pub command: String,
    /// Its exit code; 128 + n when signal n ended it, absent when it did not end in time.
    pub exit_code: Option<i32>,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// The git tree it ran on, computed by the control plane.
    pub tree: String,
    /// Whether it ran before or after the work.
    pub phase: CheckPhase,
    /// The end of its output, standard output and error together.
    pub output_tail: String,
}

impl CheckReport {
    /// Whether the command ended with exit code 0.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0)
    }
}
