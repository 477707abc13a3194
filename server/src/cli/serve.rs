//! `pullwright serve`: the HTTP API.

mod signals;
mod stop;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use pullwright_core::config::{Config, ServerConfig};
use pullwright_core::log::now_ms;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::{complain, config};
use crate::access::{Access, AccessStore, KeyOwners, KeyState};
use crate::api::{self, ApiConfig, ApiState};
use crate::compose::{self, Executor, Reload, Setting};
use crate::metrics::Metrics;
use crate::retention::Retirement;
use crate::runs::{RequestLimits, Runs, RunsConfig};
use crate::store::{PostgresAddress, Store};
use crate::tokens::TokenKeys;
use crate::traces::Traces;
use crate::webhooks::{self, DeliveryStore, Missed, WebhookSettings, Webhooks, Worker};
use signals::Signals;

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
            accounts: Default::default(),
        };
        let runs_config = RunsConfig {
            token_keys: token_keys(&config.server)?,
            traces: setting.traces.clone(),
            owners: Some(Arc::new(owners(&config, Arc::clone(&store) as _))),
            ..runs_config(&config.server)
        };
        let grace = config.server.shutdown_grace;
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
        let webhooks = webhooks(&config, Arc::clone(&store) as _)?;
        let github = config.webhooks.github.as_ref();
        let redelivers = github.is_some_and(|github| github.redeliver);
        let api = ApiConfig {
            webhooks: webhooks.clone(),
            ..api
        };
        let traces = setting.traces.clone();
        let retirement = Retirement::of(&config.server, Arc::clone(&store) as _)?;
        let executor = Executor::new(compose::parts_with(store, config, sandboxes, &setting)?);
        let missed =
            redelivers.then(|| Missed::new(Arc::clone(&executor), setting.accounts.clone()));
        let file = config::path(self.config.as_deref())?;
        let reload = Reload::new(file, setting, Arc::clone(&executor));
        let watching = AbortOnDropHandle::new(tokio::spawn(reload.watch()));
        let retiring =
            retirement.map(|retirement| AbortOnDropHandle::new(tokio::spawn(retirement.go_on())));
        let store = Arc::clone(&executor.parts().store);
        let lease = runs_config.lease;
        let carry_out = Arc::clone(&executor) as _;
        let runs = Runs::new(store, carry_out, Arc::clone(&executor) as _, runs_config);
        let worker = webhooks.github().map(|reception| {
            let (runs, access) = (runs.clone(), access.clone());
            let worker = Worker::new(Arc::clone(reception), runs, executor, access, lease);
            AbortOnDropHandle::new(tokio::spawn(worker.go_on()))
        });
        let ended = self.listen(runs, api, grace, missed).await;
        drop(worker);
        access.flush().await;
        drop((watching, retiring));
        traces.shut_down(TRACES_GRACE).await;
        ended
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

    async fn listen(
        &self,
        runs: Runs,
        config: ApiConfig,
        grace: Duration,
        missed: Option<Missed>,
    ) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::catch().context("cannot wait for signals")?;
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener
            .local_addr()
            .context("cannot see the own address")?;
        complain(&format!("listening on http://{address}"));
        let recovering = tokio::spawn({
            let runs = runs.clone();
            async move { runs.keep_recovering().await }
        });
        let _recovering = AbortOnDropHandle::new(recovering);
        // What it has sent again must find somebody who listens.
        let _missed = missed.map(|missed| AbortOnDropHandle::new(tokio::spawn(missed.go_on())));
        // Requests are answered until the last run has gone: streams go on, and new runs are refused.
        let closed = runs.closed().clone();
        let router = api::router(ApiState::with_config(runs.clone(), address, config));
        let mut serving = tokio::spawn(api::serve(listener, router, closed.cancelled_owned()));
        let broken = tokio::select! {
            served = &mut serving => Some(served),
            () = signals.next() => None,
        };
        let stopping = async {
            complain(&stop::begun(runs.count(), grace));
            let parted = runs.hand_over(stop::patience(grace)).await;
            stop::done(parted).iter().for_each(|said| complain(said));
            match broken {
                Some(served) => served,
                None => serving.await,
            }
        };
        tokio::select! {
            served = stopping => served.context("the listener broke")??,
            () = signals.next() => {
                complain("ending at once; other servers or the next start go on with the runs");
                return Ok(ExitCode::FAILURE);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What callers' tokens are sealed with, if the configuration names a variable with it.
pub(super) fn token_keys(server: &ServerConfig) -> anyhow::Result<Option<TokenKeys>> {
    let variable = server.token_key_env.as_deref();
    Ok(variable.map(TokenKeys::from_env).transpose()?)
}

/// The webhooks that are configured.
fn webhooks(config: &Config, store: Arc<dyn DeliveryStore>) -> anyhow::Result<Webhooks> {
    let Some(github) = &config.webhooks.github else {
        return Ok(Webhooks::default());
    };
    let variable = |name: &str| std::env::var(name).ok();
    let settings = WebhookSettings::read(github, &config.server, variable)?;
    Ok(Webhooks::of_github(settings, store))
}

/// Whose runs there may be how many of.
fn owners(config: &Config, store: Arc<dyn AccessStore>) -> KeyOwners {
    let github = config.webhooks.github.as_ref();
    KeyOwners::new(store).and(webhooks::OWNER, github.and_then(|github| github.max_runs))
}

fn runs_config(server: &ServerConfig) -> RunsConfig {
    RunsConfig {
        max_concurrent: server.max_concurrent_runs,
        max_queued: server.max_queued_runs,
        max_queue: server.max_queue,
        max_per_key: server.max_runs_per_key,
        max_per_repository: server.max_runs_per_repository,
        lease: Duration::from_secs(server.lease_sec),
        request: RequestLimits {
            max_prompt_chars: server.max_prompt_chars,
            ..RequestLimits::default()
        },
        ..RunsConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_be_without_a_sign_of_its_server_as_long_as_is_written() {
        let text = "[agent]\nprovider = \"one\"\n[server]\nlease_sec = 3\n\
                    [providers.one]\nwire_api = \"scripted\"\nscript = \"script.toml\"\n";
        let config = Config::parse(text, Path::new("plugins.toml")).unwrap();
        assert_eq!(runs_config(&config.server).lease, Duration::from_secs(3));
    }
}
