//! A tool server on the host.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::ToolConfig;
use crate::run::{BoundToken, HostTools};
use crate::tools::{Connector, ToolIo, ToolServerError};

/// A row whose server is opened on the host.
pub struct HostRow {
    host: Arc<dyn HostTools>,
    name: String,
    row: ToolConfig,
    token: Option<BoundToken>,
}

impl HostRow {
    /// The row called `name`.
    #[must_use]
    pub fn new(host: Arc<dyn HostTools>, name: &str, row: &ToolConfig) -> Self {
        Self {
            host,
            name: name.to_owned(),
            row: row.clone(),
            token: None,
        }
    }

    /// With a caller's token for the forge.
    #[must_use]
    pub fn with_token(mut self, token: Option<BoundToken>) -> Self {
        self.token = token;
        self
    }
}

#[async_trait]
impl Connector for HostRow {
    async fn open(&self) -> Result<ToolIo, ToolServerError> {
        self.host
            .open(&self.name, &self.row, self.token.as_ref())
            .await
    }
}
