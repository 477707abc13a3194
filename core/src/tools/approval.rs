//! The approval of what tool servers say of their tools.

/// Decides which of a server's tool definitions may be offered.
pub trait Approval: Send + Sync {
    /// The reasons why tools of `server` are withheld, by tool name; empty when all may be offered. Called
    /// on connect, respawn and list_changed, on a thread that may wait.
    ///
    /// # Errors
    /// When nobody can say; then no tool of the server is offered.
    fn review(
        &self,
        server: &str,
        definitions: &[rmcp::model::Tool],
    ) -> Result<Vec<Withheld>, ApprovalError>;
}

/// A tool that is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Its name on its server.
    pub tool: String,
    /// Why, and what to do.
    pub reason: String,
}

/// The review itself failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApprovalError(pub String);

/// Withholds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApproveAll;

impl Approval for ApproveAll {
    fn review(
        &self,
        _server: &str,
        _definitions: &[rmcp::model::Tool],
    ) -> Result<Vec<Withheld>, ApprovalError> {
        Ok(Vec::new())
    }
}
