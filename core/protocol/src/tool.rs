//! What the framework needs to know of a tool beyond MCP itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw_json::RawJson;

/// The key in a tool's `_meta` that holds its [`ToolView`].
pub const VIEW_META_KEY: &str = "pullwright/view";

/// The key in a tool's `_meta` that names its role in the pipeline, such as
/// [`crate::forge::PREFLIGHT_ROLE`]. A tool with a role is never offered to the model.
pub const ROLE_META_KEY: &str = "pullwright/role";

/// The key in a tool's `_meta` that says in which format it changes files, such as
/// [`APPLY_PATCH_FORMAT`]. Of several formats a model is offered the one that suits it.
pub const EDIT_FORMAT_META_KEY: &str = "pullwright/editFormat";

/// The format of tools that replace one text by another.
pub const STR_REPLACE_FORMAT: &str = "str_replace";

/// The format of tools that take a patch between `*** Begin Patch` and `*** End Patch`.
pub const APPLY_PATCH_FORMAT: &str = "apply_patch";

/// The key in a tool's input schema that names its only argument, a text of a format of its own: a
/// provider that can lets the model write that text without JSON around it.
pub const FREEFORM_SCHEMA_KEY: &str = "x-freeform";

/// The key in a call's `_meta` that carries the run's repository to a host-side tool server.
///
/// The framework sets it on every call, so a model cannot choose another repository.
pub const REPOSITORY_META_KEY: &str = "pullwright/repository";

/// The key in a progress notification's `_meta` that says at which byte of the streamed output its
/// message belongs: notifications may overtake each other.
pub const OFFSET_META_KEY: &str = "pullwright/offset";

/// The key in a result's `_meta` that says how many bytes of output were streamed before it.
pub const STREAMED_META_KEY: &str = "pullwright/streamed";

/// The key in `structuredContent` that holds a command's exit code, for [`ToolView::Bash`].
pub const EXIT_CODE_KEY: &str = "exit_code";

/// A tool as offered to a model. Frozen, byte for byte, when a conversation starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSpec {
    /// The name shown to the model: at most 64 characters of `[A-Za-z0-9_-]`.
    pub name: String,
    /// What the tool does, for the model to read.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub input_schema: RawJson,
}

/// Which shape a tool's frame takes. A tool says it in its `_meta` under [`VIEW_META_KEY`],
/// naming the arguments that hold the values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToolView {
    /// Shown as `Tool: Read`.
    Read {
        /// The argument that holds the path.
        path: String,
    },
    /// Shown as `Tool: Edit`.
    Edit {
        /// The argument that holds the path.
        path: String,
        /// The argument that holds the replaced text; absent for a tool that writes whole files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<String>,
        /// The argument that holds the new text.
        new: String,
    },
    /// Shown as `Tool: Bash`; the exit code is [`EXIT_CODE_KEY`] of the structured result.
    Bash {
        /// The argument that holds the command.
        command: String,
    },
    /// Shown as `Tool: <server>.<tool>`.
    #[default]
    Plain,
}
