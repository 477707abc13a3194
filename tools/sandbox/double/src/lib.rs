//! A double of Modal: its control plane and its command router on one loopback port.
//!
//! It really runs processes, in `local` sandboxes of this machine, checks tokens, their age, offsets,
//! idempotency, limits and deadlines, and breaks what it is told to break, connections included. Images
//! are not built: the `RUN` lines of a dockerfile are run once in an empty sandbox, for their log and their
//! exit code, and what they changed is lost. An environment is there as soon as somebody names it.

mod apps;
mod blobs;
mod connections;
mod control;
mod deadline;
mod faults;
mod images;
mod journal;
mod machine;
mod machines;
mod once;
mod processes;
mod router;
mod stdin;
mod tasks;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::put;
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::modal_client_server::ModalClientServer;
use pullwright_sandbox::modal::wire::client::{NetworkAccess, SandboxCreateV2Request};
use pullwright_sandbox::modal::wire::task_command_router::task_command_router_server::TaskCommandRouterServer;
use tokio::net::TcpListener;

pub use faults::Fault;
pub use journal::Call;
pub use processes::Running;

use connections::{Breaker, Connections};
use control::Control;
use faults::Faults;
use journal::Journal;
use machine::{Machine, Order};
use machines::Machines;
use once::Once;
use tasks::Tasks;
use tokens::Tokens;

/// The token pair that it lets in.
pub const TOKEN_ID: &str = "ak-test";
/// Its secret half.
pub const TOKEN_SECRET: &str = "as-test";

/// The largest message, as the real one has it.
const MAX_MESSAGE_BYTES: usize = 100 * 1024 * 1024;

/// How the double is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The executable that is Pullwright's tool host on this machine, and starts its sandboxes.
    pub pullwright: PathBuf,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    /// Whether who makes a sandbox gets a token for it, which calls about the sandbox then must not contradict.
    /// Those that show none are let through, as clients are that only know its id.
    pub sandbox_tokens: bool,
}

/// A running double. Dropping it ends it, and every sandbox in it.
pub struct Double {
    address: SocketAddr,
    shared: Arc<Shared>,
    breaker: Breaker,
    serving: tokio::task::JoinHandle<()>,
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) machines: Machines,
    pub(crate) tokens: Tokens,
    pub(crate) apps: apps::Apps,
    pub(crate) blobs: blobs::Blobs,
    pub(crate) images: images::Images,
    pub(crate) url: String,
    pub(crate) tasks: Tasks,
    sandbox_tokens: bool,
    /// What was made for which key, so that the same call does not make another one.
    pub(crate) created: Once<Arc<Machine>>,
}

impl Shared {
    /// Makes a sandbox.
    pub(crate) async fn make(
        &self,
        request: SandboxCreateV2Request,
    ) -> Result<Arc<Machine>, tonic::Status> {
        let definition = request.definition.as_ref();
        let image_id = definition.map(|definition| definition.image_id.as_str());
        let order = Order {
            image: self.images.find(image_id.unwrap_or_default())?,
            environment: self.apps.environment_of(&request.app_id)?,
            has_token: self.sandbox_tokens,
            request,
        };
        self.machines.create(order).await
    }
}

impl Double {
    /// Starts it.
    ///
    /// # Errors
    /// The port or this machine's sandbox cannot be had.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let tasks = Tasks::default();
        let (connections, breaker) = Connections::new(listener, tasks.clone());
        let url = format!("http://{address}");
        let shared = Arc::new(Shared {
            faults: Faults::default(),
            journal: Journal::default(),
            machines: Machines::new(&options.pullwright, tasks.clone())?,
            tokens: Tokens::new(options.token_lifetime),
            apps: apps::Apps::default(),
            blobs: blobs::Blobs::default(),
            images: images::Images::default(),
            url,
            tasks,
            sandbox_tokens: options.sandbox_tokens,
            created: Once::default(),
        });
        let control = ModalClientServer::new(Control(Arc::clone(&shared)))
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let router = TaskCommandRouterServer::new(router::CommandRouter(Arc::clone(&shared)))
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let grpc = tonic::service::Routes::new(control).add_service(router);
        let grpc = grpc.into_axum_router().layer(from_fn(deadline::keep));
        let app = grpc.merge(
            Router::new()
                .route("/blobs/{id}", put(blobs::put))
                .layer(DefaultBodyLimit::disable())
                .with_state(Arc::clone(&shared)),
        );
        let serving = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(connections, app).await;
        });
        Ok(Self {
            address,
            shared,
            breaker,
            serving,
        })
    }

    /// Where it is, for `MODAL_SERVER_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was called so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.journal.calls()
    }

    /// Lets the next calls of `name` go wrong, each in its own way.
    pub fn break_next(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.add(name, faults);
    }

    /// Ends every stream of output that is under way, as a network that breaks does.
    pub fn cut_streams(&self) {
        self.shared.faults.cut_streams();
    }

    /// Breaks every connection off, with the calls that are under way on it.
    pub fn drop_connections(&self) {
        self.breaker.break_off();
    }

    /// How many sandboxes are there.
    #[must_use]
    pub fn sandboxes(&self) -> usize {
        self.shared.machines.alive()
    }

    /// What clients have started in all sandboxes and has not ended.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        let all = self.shared.machines.all().into_iter();
        all.flat_map(|machine| machine.processes.running())
            .collect()
    }

    /// What each sandbox was allowed to reach: when it was made, and each time that was changed. The oldest
    /// sandbox is the first.
    #[must_use]
    pub fn networks(&self) -> Vec<Vec<NetworkAccess>> {
        self.shared.machines.networks()
    }

    /// Ends every sandbox as Modal does it for this reason.
    pub async fn lose_sandboxes(&self, how: GenericStatus) {
        self.shared.machines.end_all(how).await;
    }

    /// Lets sandboxes that are made from now on wait for a machine: nobody is told their task, nor where they
    /// are reached, until [`Self::let_start`].
    pub fn hold_starts(&self) {
        self.shared.machines.set_room(false);
    }

    /// Finds a machine for every sandbox.
    pub fn let_start(&self) {
        self.shared.machines.set_room(true);
    }

    /// Makes every token that was given out so far too old.
    pub fn expire_tokens(&self) {
        self.shared.tokens.expire_all();
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
        self.shared.tasks.end();
    }
}
