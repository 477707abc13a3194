//! `pullwright serve`: the HTTP API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use pullwright_core::config::Config;
use pullwright_core::log::now_ms;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{complain, config};
use crate::access::{Access, KeyState};
use crate::api::{self, ApiConfig, ApiState};
use crate::compose::{self, Executor, Reload, Setting};
use crate::metrics::Metrics;
use crate::runs::{RequestLimits, Runs, RunsConfig};
use crate::store::{PostgresAddress, Store};
use crate::traces::Traces;

/// How long runs may take to end when the server is told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// How long the last spans may take to be sent.
pub(super) const TRACES_GRACE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Serve {
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(self.config.as_deref())?;
        let database = config::database()?;
        let data_dir = config::data_dir(&config)?;
        pullwright_sandbox::harden_server()?;
        let store = self
            .open_store(&config, &data_dir, database.as_ref())
            .await?;
        let sandboxes = compose::sandbox_host(&config, &data_dir).await?;
        if let Some(warning) = sandboxes.warning() {
            complain(&format!("WARNING: {warning}"));
        }
        if let Some(address) = &database {
            complain(&format!("keeping runs in Postgres at {address}"));
        }
        let setting = Setting {
            data_dir,
            database,
            allow_local_paths: false,
            metrics: Metrics::default(),
            traces: Traces::from_env()?,
            config_file: Some(config::path(self.config.as_deref())?),
        };
        let runs_config = RunsConfig {
            max_concurrent: config.server.max_concurrent_runs,
            lease: Duration::from_secs(config.server.lease_sec),
            request: RequestLimits {
                max_prompt_chars: config.server.max_prompt_chars,
                ..RequestLimits::default()
            },
            traces: setting.traces.clone(),
            ..RunsConfig::default()
        };
        let server = &config.server;
        let is_public = api::is_public(self.listen);
        let access = Access::with_keys(Arc::clone(&store) as _, is_public, &server.access);
        let api = ApiConfig {
            access: access.clone(),
            allowed_hosts: server.access.allowed_hosts.clone(),
            allowed_origins: server.access.allowed_origins.clone(),
            max_body_bytes: server.max_body_bytes,
            metrics: setting.metrics.clone(),
            traces: setting.traces.clone(),
            ..ApiConfig::default()
        };
        let traces = setting.traces.clone();
        let executor = Executor::new(compose::parts_with(store, config, sandboxes, &setting)?);
        let file = config::path(self.config.as_deref())?;
        let reload = Reload::new(file, setting, Arc::clone(&executor));
        let watching = AbortOnDropHandle::new(tokio::spawn(reload.watch()));
        let store = Arc::clone(&executor.parts().store);
        let runs = Runs::new(store, Arc::clone(&executor) as _, executor, runs_config);
        self.listen(runs, api).await?;
        access.flush().await;
        drop(watching);
        traces.shut_down(TRACES_GRACE).await;
        Ok(ExitCode::SUCCESS)
    }

    /// The store, once it is sure that this server may listen where it is told to.
    async fn open_store(
        &self,
        config: &Config,
        data_dir: &Path,
        database: Option<&PostgresAddress>,
    ) -> anyhow::Result<Arc<dyn Store>> {
        let kind = config.sandbox.kind;
        let may_hold_keys = database.is_some() || compose::has_store(data_dir);
        api::check_listen(self.listen, may_hold_keys, kind)?;
        let store = compose::open_store(data_dir, database).await?;
        if api::is_public(self.listen) {
            let now = now_ms();
            let keys = store.keys().await?;
            let has_keys = keys.iter().any(|key| key.state(now) == KeyState::Live);
            api::check_listen(self.listen, has_keys, kind)?;
        }
        Ok(store)
    }

    async fn listen(&self, runs: Runs, config: ApiConfig) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener
            .local_addr()
            .context("cannot see the own address")?;
        complain(&format!("listening on http://{address}"));
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        let recovering = tokio::spawn({
            let (runs, stop) = (runs.clone(), stop.clone());
            async move { runs.keep_recovering(stop).await }
        });
        let state = ApiState::with_config(runs.clone(), address, config);
        let stopped = stop.clone();
        api::serve(listener, api::router(state), async move {
            stopped.cancelled().await
        })
        .await?;
        runs.shut_down(SHUTDOWN_GRACE).await;
        recovering.abort();
        Ok(())
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
    stop.cancel();
}
