//! The words Pullwright's parts speak to each other: types only, no I/O.
//!
//! - [`Event`]: what a run says about itself; the log of events is its only memory.
//! - [`Frame`]: the view of that log a client of `POST /code` sees.
//! - [`Item`]: one entry of a conversation with a model, with its native JSON.
//! - [`provider`]: the JSON-RPC protocol of model providers.
//! - [`abi`]: the C symbols of a native plugin.
//! - [`tool`] and [`forge`]: what a tool server may say in `_meta`, and the contract of a code host.

pub mod abi;
pub mod check;
pub mod event;
pub mod follow;
pub mod forge;
pub mod frame;
pub mod item;
pub mod network;
pub mod outcome;
pub mod provider;
pub mod publish;
pub mod raw_json;
pub mod request;
pub mod tool;
pub mod usage;

pub use check::{CheckPhase, CheckReport};
pub use event::{BaseMove, Event, LoggedEvent, ResetReason, Stage};
pub use follow::{Beginning, Followed, FollowedConversation, KeptWork, Published};
pub use frame::{Frame, FrameOptions};
pub use item::{Content, Item, Native, Part, Provenance, ToolCall};
pub use network::{NetworkAccess, NetworkVerdict};
pub use outcome::{FailureKind, Outcome};
pub use publish::Publish;
pub use raw_json::RawJson;
pub use request::{BudgetLimits, RunId, RunOrigin, RunRequest};
pub use tool::{ToolSpec, ToolView};
pub use usage::{RunUsage, SandboxUsage};
