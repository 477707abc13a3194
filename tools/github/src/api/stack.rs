//! The layers between octocrab and the wire, one concept each. From the outside:
//!
//! 1. [`limit`]: what GitHub would refuse is not sent, nor counted as sent;
//! 2. [`pace`]: content is not created faster than GitHub allows;
//! 3. [`conditional`]: what is known is asked for by its tag;
//! 4. [`turn`]: an account has so many requests under way, and no more.
//!
//! None of them sends a request twice: whether that does harm is known further out.

mod conditional;
mod limit;
mod pace;
mod turn;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use octocrab::OctoBody;
use tower::{Layer, Service};

use self::conditional::Conditional;
use self::limit::Limit;
use self::pace::Pace;
use self::turn::Turn;
use super::account::{Account, Cache};
use super::fault::Fault;

/// What a layer's service answers.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Fault>> + Send>>;

/// All layers.
#[derive(Clone)]
pub(super) struct Stack {
    pub(super) cache: Arc<Cache>,
    /// The time between two requests that create content.
    pub(super) pause: Duration,
    /// How long a request waits for its time to come.
    pub(super) patience: Duration,
}

impl<S> Layer<S> for Stack {
    type Service = Limit<Pace<Conditional<Turn<S>>>>;

    fn layer(&self, wire: S) -> Self::Service {
        let turn = Turn::new(wire, self.patience);
        let conditional = Conditional::new(turn, Arc::clone(&self.cache));
        Limit::new(Pace::new(conditional, self.pause, self.patience))
    }
}

/// A service that each request gets a copy of.
trait Next:
    Service<Request<OctoBody>, Response = Response<Bytes>, Error = Fault, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Next for S where
    S: Service<Request<OctoBody>, Response = Response<Bytes>, Error = Fault, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Whom the request is counted for.
fn account_of(request: &Request<OctoBody>) -> Option<Arc<Account>> {
    request.extensions().get::<Arc<Account>>().cloned()
}
