//! What a tool server's handle tells while a run goes on.

use super::approval::Withheld;

/// Something a person should know about a tool server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolNotice {
    /// Tools are not offered, because their definitions are not accepted or cannot be used.
    Withheld(Vec<Withheld>),
    /// `enabled_tools` or `disabled_tools` names a tool the server does not have.
    UnknownTool {
        /// The key of the row.
        key: &'static str,
        /// The name in it.
        name: String,
        /// The tool it may mean.
        nearest: Option<String>,
    },
    /// It was lost and is back.
    Restarted {
        /// How it ended.
        reason: String,
    },
    /// It was lost for good.
    Abandoned {
        /// How it ended, and why it stays so.
        reason: String,
    },
    /// It lists other tools than when the conversation began.
    ListChanged(ListChange),
}

/// The difference between the tools of a conversation and what their server lists now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListChange {
    /// Names that are new.
    pub added: Vec<String>,
    /// Names whose definition is another.
    pub changed: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
}

impl ListChange {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}
