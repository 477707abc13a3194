//! `pullwright code`: one task from the terminal.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use pullwright_protocol::{BudgetLimits, Publish, RunRequest};

use super::workbench::Workbench;

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
    /// How the change reaches the repository; it can only be as careful as the configured way, or more.
    #[arg(long, value_parser = publish)]
    publish: Option<Publish>,
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
        // The variable that names a server's database is, at a desk, one of another project.
        let workbench = Workbench::open(self.config.as_deref(), None).await?;
        let json = self.json;
        workbench.start(self.request()?, json).await
    }

    fn request(self) -> anyhow::Result<RunRequest> {
        Ok(RunRequest {
            base_branch: self.base,
            branch: self.branch,
            provider: self.provider,
            model: self.model,
            draft: self.draft,
            publish: self.publish,
            budget: BudgetLimits {
                max_usd: self.max_usd,
                max_turns: self.max_turns,
                ..BudgetLimits::default()
            },
            checks: (!self.checks.is_empty()).then_some(self.checks),
            ..RunRequest::new(absolute_if_local(&self.repository)?, self.prompt)
        })
    }
}

fn publish(text: &str) -> Result<Publish, String> {
    let found = Publish::ALL.iter().find(|way| way.as_str() == text);
    found.copied().ok_or_else(|| {
        let all: Vec<&str> = Publish::ALL.iter().map(|way| way.as_str()).collect();
        format!("it is one of {}", all.join(", "))
    })
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
