//! One call of a tool: what it is given and what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pullwright_protocol::Part;
use pullwright_protocol::tool::OFFSET_META_KEY;
use rmcp::RoleServer;
use rmcp::model::{NotificationMetaObject, ProgressNotificationParam, RequestMetaObject};
use rmcp::service::RequestContext;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The surroundings of a call.
pub struct Call {
    context: Option<RequestContext<RoleServer>>,
    cancelled: CancellationToken,
    streamed: Arc<AtomicU64>,
}

/// A tool's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What the model sees.
    pub parts: Vec<Part>,
    /// What comes after that, for clients that understand more than text and pictures.
    pub attachments: Vec<Attachment>,
    /// The same for programs.
    pub structured: Option<Value>,
    /// Whether the model should take it as a failure.
    pub is_error: bool,
}

/// Content of an answer that is neither text nor a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A sound.
    Audio {
        /// Its media type, such as `audio/wav`.
        media_type: String,
        /// Its bytes in base64.
        data: String,
    },
    /// A document, whole.
    Document {
        /// Where it is from.
        uri: String,
        /// Its media type, such as `text/plain`.
        media_type: String,
        /// Its text.
        text: String,
    },
    /// A document, named only. A client may fetch it; a run of Pullwright never does.
    Link {
        /// Where it is.
        uri: String,
        /// What it is called.
        name: String,
    },
}

/// A call that was refused or failed, in words that help the model mend it. A refused call has
/// changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Call {
    pub(crate) fn new(context: RequestContext<RoleServer>) -> Self {
        Self {
            cancelled: context.ct.clone(),
            context: Some(context),
            streamed: Arc::default(),
        }
    }

    /// A call without a client, for tests and for tools used as plain functions.
    #[must_use]
    pub fn detached() -> Self {
        Self {
            context: None,
            cancelled: CancellationToken::new(),
            streamed: Arc::default(),
        }
    }

    /// Counts the bytes of output sent while the tool worked.
    pub(crate) fn streamed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.streamed)
    }

    /// Fires when the client no longer wants the answer: on its time-out and when the run ends.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// A value the framework attached to the call under `key`, such as
    /// [`pullwright_protocol::tool::REPOSITORY_META_KEY`].
    #[must_use]
    pub fn meta<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let meta: &RequestMetaObject = &self.context.as_ref()?.meta;
        serde_json::from_value(meta.get(key)?.clone()).ok()
    }

    /// Sends output that a person may watch while the tool works. `bytes_so_far` only grows.
    /// Nothing is sent when the client did not ask for progress.
    pub async fn progress(&self, bytes_so_far: u64, text: &str) {
        self.notify(bytes_so_far, None, text).await;
    }

    /// Says how far the work is, in any unit, and what is done now. `done` only grows.
    pub async fn step(&self, done: u64, total: u64, text: &str) {
        self.notify(done, Some(total), text).await;
    }

    #[expect(clippy::cast_precision_loss, reason = "MCP's progress is a float")]
    async fn notify(&self, done: u64, total: Option<u64>, text: &str) {
        let Some(context) = &self.context else { return };
        let Some(token) = context.meta.get_progress_token() else {
            return;
        };
        // Notifications may overtake each other on the way, so each says where it belongs.
        let offset = self
            .streamed
            .fetch_add(text.len() as u64, Ordering::Relaxed);
        let mut meta = NotificationMetaObject::new();
        meta.insert(OFFSET_META_KEY.to_owned(), offset.into());
        let mut progress =
            ProgressNotificationParam::new(token, done as f64).with_message(text.to_owned());
        progress.total = total.map(|total| total as f64);
        progress.meta = Some(meta);
        // A client that is gone also cancels the call, so there is nobody left to tell.
        let _ = context.peer.notify_progress(progress).await;
    }
}

impl Output {
    /// An answer of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            parts: vec![Part::text(text)],
            ..Self::default()
        }
    }

    /// Adds the same answer for programs.
    #[must_use]
    pub fn with_structured(mut self, structured: Value) -> Self {
        self.structured = Some(structured);
        self
    }

    /// Adds content that is neither text nor a picture.
    #[must_use]
    pub fn with(mut self, attachment: Attachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// Marks the answer as a failure that still shows what was done, such as a command's output.
    #[must_use]
    pub fn as_error(mut self) -> Self {
        self.is_error = true;
        self
    }
}

impl Refusal {
    /// A refusal with this explanation.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
