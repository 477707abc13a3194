//! Where deliveries arrive: verified, read, and kept before they are answered.

use std::sync::Arc;

use pullwright_core::log::now_ms;
use pullwright_core::store::StoreError;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::ask::{Reading, read};
use super::settings::WebhookSettings;
use super::signature::Signature;
use super::store::{DeliveryStore, NewDelivery};

/// The largest delivery: GitHub sends none that is larger.
pub(crate) const MAX_DELIVERY_BYTES: usize = 25 * 1024 * 1024;

/// How many bodies are read at the same time: nobody has proven anything by then, and each may be large.
const MAX_BODIES: usize = 16;

/// The webhooks of a server; none unless they are configured. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    github: Option<Arc<Reception>>,
}

/// Takes the deliveries of GitHub.
pub struct Reception {
    pub(super) settings: WebhookSettings,
    pub(super) store: Arc<dyn DeliveryStore>,
    /// Tells that something was kept.
    pub(super) arrived: Notify,
    bodies: Semaphore,
}

/// What became of a genuine delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, and what it asks for will be done.
    Accepted,
    /// It came before.
    Known,
    /// It asks for nothing, for this reason.
    Ignored(&'static str),
}

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reception")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Takes deliveries of GitHub, and keeps them in `store`.
    #[must_use]
    pub fn of_github(settings: WebhookSettings, store: Arc<dyn DeliveryStore>) -> Self {
        let reception = Reception {
            settings,
            store,
            arrived: Notify::new(),
            bodies: Semaphore::new(MAX_BODIES),
        };
        Self {
            github: Some(Arc::new(reception)),
        }
    }

    /// Where deliveries of GitHub arrive, if they may.
    #[must_use]
    pub fn github(&self) -> Option<&Arc<Reception>> {
        self.github.as_ref()
    }
}

impl Reception {
    /// Waits until another body may be read.
    pub(crate) async fn place_for_a_body(&self) -> Option<SemaphorePermit<'_>> {
        self.bodies.acquire().await.ok()
    }

    /// Whether one of the secrets has signed the body.
    pub(crate) fn is_genuine(&self, body: &[u8], signature: &Signature) -> bool {
        self.settings.secrets.have_signed(body, signature)
    }

    /// Reads a genuine delivery, and keeps what it asks for.
    ///
    /// # Errors
    /// When its body is not JSON, or the store fails: it is not kept then.
    pub(crate) async fn take(&self, event: &str, id: &str, body: &[u8]) -> Result<Taken, NotTaken> {
        let ask = match read(event, body, &self.settings)? {
            Reading::Asks(ask) => ask,
            Reading::Nothing(why) => return Ok(Taken::Ignored(why)),
        };
        let mut digest = Sha256::new();
        digest.update(event.as_bytes());
        digest.update([0]);
        digest.update(body);
        let new = NewDelivery {
            id: format!("github:{id}"),
            digest: digest.finalize().into(),
            asked: serde_json::to_string(&ask)?,
            at_ms: now_ms(),
        };
        if !self.store.accept(&new).await? {
            return Ok(Taken::Known);
        }
        tracing::info!(
            delivery = id,
            event,
            repository = ask.repository,
            "a delivery is accepted"
        );
        self.arrived.notify_one();
        Ok(Taken::Accepted)
    }
}
