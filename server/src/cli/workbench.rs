//! Runs that are carried out by this process and shown in its terminal.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use pullwright_core::log::now_ms;
use pullwright_core::store::RunStore;
use pullwright_protocol::{FrameOptions, Outcome, RunId, RunRequest};
use tokio::time::Instant;

use super::runs::{Shown, follow};
use super::serve::{TRACES_GRACE, token_keys};
use super::view::View;
use super::{complain, config};
use crate::compose::{self, Executor, Setting};
use crate::metrics::Metrics;
use crate::runs::{Caller, Runs, RunsConfig};
use crate::store::PostgresAddress;
use crate::tokens::TokenKeys;
use crate::traces::Traces;

/// How often a run that somebody holds is tried again, until his lease must have run out, and a moment more.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// What carries out runs on this machine, those of local paths included.
pub(super) struct Workbench {
    executor: Arc<Executor>,
    traces: Traces,
}

impl Workbench {
    /// With the configuration in this file, or else the user's own, on this machine's store or a database.
    pub(super) async fn open(
        config_file: Option<&Path>,
        database: Option<PostgresAddress>,
    ) -> anyhow::Result<Self> {
        let config = config::load(config_file)?;
        let data_dir = config::data_dir(&config)?;
        pullwright_sandbox::harden_server()?;
        let sandboxes = compose::sandbox_host(&config, &data_dir).await?;
        let setting = Setting {
            data_dir,
            database,
            allow_local_paths: true,
            metrics: Metrics::default(),
            traces: Traces::from_env()?,
            config_file: Some(config::path(config_file)?),
            accounts: Default::default(),
        };
        let parts = compose::parts(config, sandboxes, &setting).await?;
        Ok(Self {
            executor: Executor::new(parts),
            traces: setting.traces,
        })
    }

    /// Carries out one request.
    pub(super) async fn start(self, request: RunRequest, json: bool) -> anyhow::Result<ExitCode> {
        let outcome = start_and_show(Arc::clone(&self.executor), request, json).await;
        self.close(outcome).await
    }

    /// Goes on with a run that nobody holds.
    pub(super) async fn resume(self, run: &RunId, json: bool) -> anyhow::Result<ExitCode> {
        let outcome = resume_and_show(Arc::clone(&self.executor), run, json).await;
        self.close(outcome).await
    }

    async fn close(self, outcome: anyhow::Result<Outcome>) -> anyhow::Result<ExitCode> {
        self.traces.shut_down(TRACES_GRACE).await;
        Ok(exit_code(outcome?))
    }
}

/// Carries out one request and shows it until its end. Ctrl-C cancels the run; its patch is kept all the
/// same.
pub(super) async fn start_and_show(
    executor: Arc<Executor>,
    request: RunRequest,
    json: bool,
) -> anyhow::Result<Outcome> {
    let runs = runs_of(executor, None);
    let started = runs.start(request, None, Caller::default()).await?;
    show(&runs, &started.id, json).await
}

async fn resume_and_show(
    executor: Arc<Executor>,
    run: &RunId,
    json: bool,
) -> anyhow::Result<Outcome> {
    let lease = lease_of(&executor);
    // Without keys, only a run with its caller's token is not gone on with.
    let keys = token_keys(&executor.parts().config.server).unwrap_or_default();
    let runs = runs_of(executor, keys);
    check_token(&runs, run).await?;
    claim(&runs, run, lease).await?;
    show(&runs, run, json).await
}

/// Takes the run over. Whoever died a moment ago holds it until his lease has run out.
async fn claim(runs: &Runs, run: &RunId, lease: Duration) -> anyhow::Result<()> {
    let patience = lease + LEASE_MARGIN;
    let deadline = Instant::now() + patience;
    let mut is_told = false;
    while !runs.resume(run).await? {
        check_that_it_goes_on(runs.store().as_ref(), run).await?;
        if Instant::now() >= deadline {
            bail!(
                "run {run} is being worked on by another process; `pullwright runs tail {run}` shows it, \
                 and `pullwright runs cancel {run}` ends it"
            );
        }
        if !is_told {
            let seconds = patience.as_secs();
            complain(&format!(
                "somebody holds run {run}, or died a moment ago; waiting for that, at most {seconds} s"
            ));
            is_told = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn check_that_it_goes_on(store: &dyn RunStore, run: &RunId) -> anyhow::Result<()> {
    let Some(record) = store.get(run).await? else {
        return Ok(());
    };
    if let Some(outcome) = record.outcome {
        bail!("run {run} has ended ({outcome}); `pullwright runs show {run}` shows how");
    }
    if let Some(until_ms) = record.parked_until_ms {
        let seconds = until_ms.saturating_sub(now_ms()).div_ceil(1000);
        bail!(
            "run {run} waits for another {seconds} s, because its forge takes no more requests now; `pullwright \
             runs show {run}` says why, and `pullwright runs cancel {run}` ends it"
        );
    }
    Ok(())
}

async fn show(runs: &Runs, run: &RunId, json: bool) -> anyhow::Result<Outcome> {
    let on_interrupt = {
        let (runs, id) = (runs.clone(), run.clone());
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                complain("cancelling; the work so far is kept as a patch");
                let _ = runs.cancel(&id).await;
            }
        })
    };
    let mut view = View::new(std::io::stdout().is_terminal());
    let print = |shown: Shown<'_>| shown.print(&mut view, json);
    let (store, options) = (runs.store().as_ref(), FrameOptions::default());
    let shown = follow(store, run, options, print).await;
    on_interrupt.abort();
    if let Some(mut departing) = runs.departing(run) {
        departing.departed().await;
    }
    shown
}

/// A run with its caller's token is left alone where that is not known, since it would only end.
async fn check_token(runs: &Runs, run: &RunId) -> anyhow::Result<()> {
    let record = runs.store().get(run).await?;
    let Some(record) = record.filter(|record| record.request.caller_token) else {
        return Ok(());
    };
    if record.outcome.is_none() && runs.token_of(&record).await?.is_none() {
        bail!(
            "run {run} works with its caller's token, and there is no key here that opens it; set the variable \
             that `[server] token_key_env` names as it is where the server runs, or start the run again"
        );
    }
    Ok(())
}

fn runs_of(executor: Arc<Executor>, token_keys: Option<TokenKeys>) -> Runs {
    let store = Arc::clone(&executor.parts().store);
    let config = RunsConfig {
        lease: lease_of(&executor),
        token_keys,
        parks: false,
        ..RunsConfig::default()
    };
    Runs::new(store, Arc::clone(&executor) as _, executor, config)
}

fn lease_of(executor: &Executor) -> Duration {
    Duration::from_secs(executor.parts().config.server.lease_sec)
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::PullRequest | Outcome::BranchOnly | Outcome::PatchOnly | Outcome::NoChanges => {
            ExitCode::SUCCESS
        }
        Outcome::Failed(_) | Outcome::Cancelled | Outcome::BudgetReached => ExitCode::FAILURE,
    }
}
