//! What an error of each part ends a run as.

use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::ProviderError;

use crate::agent::Halt;
use crate::sandbox::SandboxError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::tools::ToolServerError;

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        Self::Failed(error.kind, error.message)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced(_) => Self::HandedOver,
            error => Self::Failed(FailureKind::Internal, error.to_string()),
        }
    }
}

impl From<SandboxError> for Halt {
    fn from(error: SandboxError) -> Self {
        Self::Failed(FailureKind::Sandbox, error.to_string())
    }
}

impl From<ToolServerError> for Halt {
    fn from(error: ToolServerError) -> Self {
        Self::Failed(FailureKind::ToolServer, error.to_string())
    }
}

impl From<ProviderError> for Halt {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error.kind, error.message)
    }
}
