//! What a tool server may ask of us, which is nothing, and what it may tell.
#![expect(
    deprecated,
    reason = "servers of the older era ask for what is deprecated, and have to be answered"
)]

use std::sync::Arc;

use pullwright_protocol::tool::OFFSET_META_KEY;
use rmcp::RoleClient;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, ErrorCode, ErrorData, Implementation, ListRootsResult,
    LoggingMessageNotificationParam, NotificationMetaObject, ProgressNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext};
use tokio::sync::Notify;

use crate::tools::progress::Router;

/// The most of a log message of a server that goes to our log, in characters.
const MAX_LOGGED_CHARS: usize = 1000;

/// Our side of a connection.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) server: String,
    pub(super) router: Arc<Router>,
    pub(super) list_changed: Arc<Notify>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("pullwright", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), name)
    }

    async fn create_message(
        &self,
        _params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Err(refusal("sampling"))
    }

    async fn list_roots(
        &self,
        _context: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        Err(refusal("roots"))
    }

    async fn create_elicitation(
        &self,
        _params: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Err(refusal("elicitation"))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        context: NotificationContext<RoleClient>,
    ) {
        // The SDK moves a notification's `_meta` into its extensions.
        let meta = context.extensions.get::<NotificationMetaObject>();
        let offset = meta.and_then(|meta| meta.get(OFFSET_META_KEY)?.as_u64());
        self.router.deliver(params, offset).await;
    }

    async fn on_logging_message(
        &self,
        params: LoggingMessageNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let text = params.data.to_string();
        let text: String = text.chars().take(MAX_LOGGED_CHARS).collect();
        tracing::debug!(server = %self.server, "{text}");
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.list_changed.notify_one();
    }
}

/// No capability is declared, so a server that asks all the same has no right to.
fn refusal(capability: &str) -> ErrorData {
    let message = format!("this client does not offer {capability}");
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
}
