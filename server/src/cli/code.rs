//! `pullwright code`: one task from the terminal.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use pullwright_protocol::{BudgetLimits, FrameOptions, Outcome, RunRequest};

use super::runs::{Shown, follow};
use super::serve::TRACES_GRACE;
use super::view::View;
use super::{complain, config};
use crate::compose::{self, Executor, Setting};
use crate::metrics::Metrics;
use crate::runs::{Caller, Runs, RunsConfig};
use crate::traces::Traces;

#[derive(Args)]
pub(super) struct Code {
    /// The repository: a git URL, or a local path.
    repository: String,
    /// What to do.
    prompt: String,
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The branch to start from and to propose the change to.
    #[arg(long)]
    base: Option<String>,
    /// The branch to push.
    #[arg(long)]
    branch: Option<String>,
    /// The provider row to use.
    #[arg(long)]
    provider: Option<String>,
    /// The model to ask for.
    #[arg(long)]
    model: Option<String>,
    /// Open the pull request as a draft.
    #[arg(long)]
    draft: bool,
    /// The most the run may cost, in US dollars.
    #[arg(long)]
    max_usd: Option<f64>,
    /// The most model calls.
    #[arg(long)]
    max_turns: Option<u32>,
    /// A command whose result is evidence; may be given several times.
    #[arg(long = "check")]
    checks: Vec<String>,
    /// Print the frames as JSON, one a line.
    #[arg(long)]
    json: bool,
}

impl Code {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(self.config.as_deref())?;
        let data_dir = config::data_dir(&config)?;
        pullwright_sandbox::harden_server()?;
        let sandboxes = compose::sandbox_host(&config, &data_dir).await?;
        let setting = Setting {
            data_dir,
            // The variable that names a server's database is, at a desk, one of another project.
            database: None,
            allow_local_paths: true,
            metrics: Metrics::default(),
            traces: Traces::from_env()?,
            config_file: Some(config::path(self.config.as_deref())?),
        };
        let executor = Executor::new(compose::parts(config, sandboxes, &setting).await?);
        let json = self.json;
        let outcome = run_and_show(executor, self.request()?, json).await;
        setting.traces.shut_down(TRACES_GRACE).await;
        Ok(exit_code(outcome?))
    }

    fn request(self) -> anyhow::Result<RunRequest> {
        Ok(RunRequest {
            repo_url: absolute_if_local(&self.repository)?,
            prompt: self.prompt,
            base_branch: self.base,
            branch: self.branch,
            provider: self.provider,
            model: self.model,
            draft: self.draft,
            budget: BudgetLimits {
                max_usd: self.max_usd,
                max_turns: self.max_turns,
                ..BudgetLimits::default()
            },
            checks: (!self.checks.is_empty()).then_some(self.checks),
        })
    }
}

/// Runs one request in this process and shows it until its end. Ctrl-C cancels the run; its patch is
/// kept all the same.
pub(super) async fn run_and_show(
    executor: Arc<Executor>,
    request: RunRequest,
    json: bool,
) -> anyhow::Result<Outcome> {
    let store = Arc::clone(&executor.parts().store);
    let runs = Runs::new(
        Arc::clone(&store),
        Arc::clone(&executor) as _,
        executor,
        RunsConfig::default(),
    );
    let started = runs.start(request, None, Caller::default()).await?;
    let on_interrupt = {
        let (runs, id) = (runs.clone(), started.id.clone());
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                complain("cancelling; the work so far is kept as a patch");
                let _ = runs.cancel(&id).await;
            }
        })
    };
    let mut view = View::new(std::io::stdout().is_terminal());
    let print = |shown: Shown<'_>| shown.print(&mut view, json);
    let (store, options) = (store.as_ref(), FrameOptions::default());
    let shown = follow(store, &started.id, options, print).await;
    on_interrupt.abort();
    if let Some(mut departing) = runs.departing(&started.id) {
        departing.departed().await;
    }
    shown
}

/// A path relative to the current folder means that folder, not the server's.
fn absolute_if_local(repository: &str) -> anyhow::Result<String> {
    let looks_remote = repository.contains("://") || repository.contains('@');
    if looks_remote {
        return Ok(repository.to_owned());
    }
    let path = std::fs::canonicalize(repository)
        .with_context(|| format!("`{repository}` is neither a git URL nor a folder"))?;
    let path = path
        .to_str()
        .context("the repository's path is not UTF-8")?;
    Ok(path.to_owned())
}

pub(super) fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::PullRequest | Outcome::BranchOnly | Outcome::PatchOnly | Outcome::NoChanges => {
            ExitCode::SUCCESS
        }
        Outcome::Failed(_) | Outcome::Cancelled | Outcome::BudgetReached => ExitCode::FAILURE,
    }
}
