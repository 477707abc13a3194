//! Runs that begin on a code host: deliveries of its webhooks, and what becomes of them.
//!
//! A delivery is verified, read and kept before it is answered ([`Reception`]); what it asks for is done
//! afterwards ([`Worker`]), by whichever server takes it first, and once: a run has the delivery's
//! digest in its idempotency key. What it asks for is kept, not its payload.
//!
//! What is absent on purpose: a word that is answered to whoever may not write to the repository, and any
//! trust in what people wrote; a model gets it as quoted data.

mod act;
mod ask;
mod checks;
mod mention;
mod missed;
mod payload;
mod prompt;
mod reception;
mod report;
mod say;
mod settings;
mod signature;
mod store;
mod tell;
mod turns;
mod worker;

pub use missed::Missed;
pub(crate) use reception::MAX_DELIVERY_BYTES;
pub use reception::{NotTaken, Reception, Taken, Webhooks};
pub use settings::{OWNER, SettingsError, WebhookSettings};
pub(crate) use signature::Signature;
pub use store::{Delivery, DeliveryStore, GIVEN_UP, NewDelivery, Phase};
pub use worker::Worker;
