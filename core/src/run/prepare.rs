//! Prepare: fetch the repository, open the sandbox, install dependencies, take the baseline.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pullwright_protocol::forge::ForgeCredential;
use pullwright_protocol::{CheckPhase, CheckReport, Event, FailureKind, Stage};
use tokio::io::AsyncReadExt;

use super::command::run_shell;
use super::detect::{self, Commands};
use super::follow::Start;
use super::{Prepared, Run};
use crate::agent::Halt;
use crate::config::EditTool;
use crate::provider::Provider;
use crate::sandbox::{Opening, Sandbox, SandboxCommand};
use crate::source::{Base, CheckoutFiles, Fetch, Repository, SourceError, Work};

/// How many paths of a repository are looked at.
const MAX_PATHS: usize = 20_000;

/// How much of a manifest is read, in bytes.
const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// How much of the tool host's standard error is shown, in bytes.
const MAX_COMPLAINT_BYTES: u64 = 4096;

/// How long the tool host may take to keep the base or to restore the workspace.
const TOOL_HOST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long it may take to write all files of a repository, on a disk that may be a network's.
const FILES_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Run<'_> {
    pub(super) async fn prepare(&mut self) -> Result<Prepared, Halt> {
        let repository = self.repository()?;
        if let Some(notice) = &self.parts.notice {
            self.status(Stage::Clone, format!("WARNING: {notice}"))
                .await;
        }
        let shown = repository.path.join("/");
        self.status(Stage::Clone, format!("fetching {shown}")).await;
        self.take_over_followed().await?;
        let (row, model) = self.choose_model();
        let provider = self.open_provider(&row, model.as_deref()).await?;
        self.open_host_tools(&repository).await?;
        self.preflight_before_base().await?;
        self.find_way().await?;
        let Start { base, work } = self.find_start(&repository).await?;
        let commands = self.choose_commands(&base).await?;
        self.open_sandbox(&base, None, &commands).await?;
        self.set_up(&commands).await?;
        self.keep_warm(&commands).await?;
        self.run_baseline(&base, &commands).await?;
        if let Some(work) = &work {
            self.put_in(&base, work, &commands).await?;
        }
        let known = self.edit_tool_known();
        let suits = || self.edit_tool(&row, &provider.info().provenance.model);
        Ok(Prepared {
            base,
            commands,
            edit_tool: known.unwrap_or_else(suits),
            provider,
        })
    }

    /// Opens another sandbox, with work that a run before has left, which the baseline is without.
    async fn put_in(&mut self, base: &Base, work: &Work, commands: &Commands) -> Result<(), Halt> {
        self.close_sandbox().await?;
        self.open_sandbox(base, Some(work), commands).await?;
        self.set_up(commands).await?;
        self.settle(&work.tree).await
    }

    /// How a model changes files: as its row says, or else as suits it.
    pub(super) fn edit_tool(&self, row: &str, model: &str) -> EditTool {
        let written = self.parts.config.providers.get(row);
        let written = written.and_then(|row| row.edit_tool);
        written.unwrap_or_else(|| EditTool::for_model(model))
    }

    pub(super) async fn open_provider(
        &mut self,
        row: &str,
        model: Option<&str>,
    ) -> Result<Provider, Halt> {
        let provider = self.parts.providers.open(row, model).await?;
        let provider = provider.of_row(row).telling(self.log.clone());
        let prices = provider.info().prices;
        if prices.is_none() && self.budget.limits().usd.is_some() {
            let message = format!(
                "a budget in US dollars cannot be kept for provider `{row}`: its model has no \
                 prices; write `prices` in [providers.{row}], or `max_usd = \"none\"` in [budget]"
            );
            return Err(Halt::Failed(FailureKind::Config, message));
        }
        self.budget.set_prices(prices);
        Ok(provider)
    }

    /// Fetches a branch, at a commit or at its newest, and fixes it as the base.
    pub(super) async fn fetch(
        &mut self,
        repository: &Repository,
        branch: Option<&str>,
        commit: Option<&str>,
    ) -> Result<Base, Halt> {
        let fetched = self.try_to_fetch(repository, branch, commit).await?;
        Ok(fetched?)
    }

    /// The same, where it matters why the source has not found it.
    pub(super) async fn try_to_fetch(
        &mut self,
        repository: &Repository,
        branch: Option<&str>,
        commit: Option<&str>,
    ) -> Result<Result<Base, SourceError>, Halt> {
        let credential = self.credential(repository).await?;
        let fetch = || {
            self.parts.source.fetch(Fetch {
                repository,
                branch,
                commit,
                since: None,
                credential: credential.as_ref(),
            })
        };
        let base = match self.try_again(fetch).await {
            Ok(base) => base,
            Err(error) => return Ok(Err(error)),
        };
        let fetched = Event::RepositoryFetched {
            url: repository.url.clone(),
            branch: base.branch.clone(),
            commit: base.commit.clone(),
            tree: base.tree.clone(),
        };
        self.log.emit(fetched).await;
        let message = format!("at {} of branch {}", short(&base.commit), base.branch);
        self.status(Stage::Clone, message).await;
        for notice in self.parts.files.notices(&base).await? {
            self.status(Stage::Clone, notice).await;
        }
        self.base = Some(base.clone());
        Ok(Ok(base))
    }

    pub(super) async fn credential(
        &self,
        repository: &Repository,
    ) -> Result<Option<ForgeCredential>, Halt> {
        match &self.forge {
            Some(forge) => forge.credential(repository).await,
            None => Ok(None),
        }
    }

    /// The configured commands, and the found ones where none are configured.
    async fn choose_commands(&self, base: &Base) -> Result<Commands, Halt> {
        let chosen = self.commands(base).await?;
        let Commands { setup, checks } = chosen.clone();
        self.log.emit(Event::CommandsChosen { setup, checks }).await;
        Ok(chosen)
    }

    async fn commands(&self, base: &Base) -> Result<Commands, Halt> {
        let config = &self.parts.config;
        let request = self.owned.request.checks.clone();
        let checks = request.or_else(|| config.checks.run.clone());
        let setup = config.setup.run.clone();
        let found = match (&setup, &checks) {
            (Some(_), Some(_)) => Commands::default(),
            _ => self.detect(base).await?,
        };
        Ok(Commands {
            setup: setup.unwrap_or(found.setup),
            checks: checks.unwrap_or(found.checks),
        })
    }

    async fn detect(&self, base: &Base) -> Result<Commands, Halt> {
        let files = &self.parts.files;
        let paths = files.paths(base, MAX_PATHS).await?;
        let mut manifests = Vec::new();
        for name in detect::MANIFESTS {
            if let Some(bytes) = files.read(base, name, MAX_MANIFEST_BYTES).await? {
                manifests.push((*name, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        Ok(detect::detect(&paths, |name| {
            let manifest = manifests.iter().find(|(known, _)| *known == name)?;
            Some(manifest.1.clone())
        }))
    }

    /// Opens a fresh sandbox on a clean checkout of the base, or of `work` on top of it.
    pub(super) async fn open_sandbox(
        &mut self,
        base: &Base,
        work: Option<&Work>,
        commands: &Commands,
    ) -> Result<(), Halt> {
        let workspace = self.run_dir().join("workspace");
        self.make_run_dir().await?;
        let is_shared = self.parts.sandboxes.shares_checkout();
        let files = match is_shared {
            true => CheckoutFiles::Written,
            false => CheckoutFiles::Packed,
        };
        let source = &self.parts.source;
        source.checkout(base, work, files, &workspace).await?;
        let warm = self.warm_name(base, commands).await?;
        let opening = Opening {
            run: &self.owned.id.clone(),
            checkout: &workspace,
            warm: warm.as_deref(),
            notices: self.open_notices(),
        };
        let sandbox = self.parts.sandboxes.open(opening).await?;
        self.take_sandbox(Arc::clone(&sandbox)).await;
        if work.is_none() {
            let kind = self.parts.sandboxes.kind();
            self.status(Stage::Sandbox, format!("opened a sandbox of kind `{kind}`"))
                .await;
            if let Some(warning) = self.parts.sandboxes.warning() {
                self.status(Stage::Sandbox, format!("WARNING: {warning}"))
                    .await;
            }
        }
        if sandbox.is_warm() {
            let message = "it starts with what an earlier setup has made";
            self.status(Stage::Sandbox, message).await;
        }
        // An agent may break the workspace's repository; its work can be taken out all the same.
        self.run_tool_host(&["keep"], "the base could not be kept aside")
            .await?;
        if is_shared {
            return Ok(());
        }
        let tree = work.map_or(&base.tree, |work| &work.tree);
        let task = ["settle", "--to", tree];
        let failure = "the files could not be written in the sandbox";
        self.run_tool_host_within(FILES_TIMEOUT, &task, failure)
            .await
    }

    async fn make_run_dir(&self) -> Result<(), Halt> {
        let dir = self.run_dir();
        tokio::fs::create_dir_all(&dir).await.map_err(|error| {
            let message = format!("cannot make the run's folder {}: {error}", dir.display());
            Halt::Failed(FailureKind::Internal, message)
        })
    }

    /// Installs dependencies, with a network of its own that is closed again before anything else
    /// runs.
    pub(super) async fn set_up(&self, commands: &Commands) -> Result<(), Halt> {
        let sandbox = self.sandbox()?;
        let config = &self.parts.config;
        let always = &config.sandbox.network.allow;
        let meanwhile: Vec<String> = always.iter().chain(&config.setup.allow).cloned().collect();
        if !commands.setup.is_empty() {
            sandbox.allow(&meanwhile).await?;
        }
        let ran = self.run_setup(sandbox.as_ref(), commands).await;
        sandbox.allow(always).await?;
        ran
    }

    /// Keeps what setup has made, before anything of the model's is in the sandbox. A later run is slower
    /// without, and no worse.
    async fn keep_warm(&self, commands: &Commands) -> Result<(), Halt> {
        let sandbox = self.sandbox()?;
        if commands.setup.is_empty() || sandbox.is_warm() {
            return Ok(());
        }
        if let Err(error) = sandbox.keep_warm().await {
            let message = format!("what setup has made cannot be kept for later runs: {error}");
            self.status(Stage::Sandbox, message).await;
        }
        Ok(())
    }

    async fn run_setup(&self, sandbox: &dyn Sandbox, commands: &Commands) -> Result<(), Halt> {
        let limit = Duration::from_secs(self.parts.config.setup.timeout_sec);
        for command in &commands.setup {
            self.status(Stage::Sandbox, format!("setup: {command}"))
                .await;
            let ran = run_shell(sandbox, command, limit).await?;
            if !ran.passed() {
                let how = ran.exit_code.map_or_else(
                    || format!("did not end within {} s", limit.as_secs()),
                    |code| format!("ended with exit code {code}"),
                );
                let message = format!(
                    "the setup command `{command}` {how}; correct `[setup] run` in plugins.toml \
                     or the repository. Its output ended with:\n{}",
                    ran.output_tail
                );
                return Err(Halt::Failed(FailureKind::Setup, message));
            }
        }
        Ok(())
    }

    async fn run_baseline(&mut self, base: &Base, commands: &Commands) -> Result<(), Halt> {
        self.before = self.known_baseline(base, commands).await;
        let is_known = |check: &String| self.before.iter().any(|known| known.command == *check);
        let checks = commands.checks.iter().filter(|check| !is_known(check));
        let unknown = Commands {
            checks: checks.cloned().collect(),
            ..commands.clone()
        };
        let run = self.run_checks(&unknown, &base.tree, CheckPhase::Before);
        let run = run.await?;
        self.before.extend(run);
        if commands.setup.is_empty() && commands.checks.is_empty() {
            return Ok(());
        }
        self.settle(&base.commit).await
    }

    /// What is known already: a change of several commits is compared with what was before all of them.
    async fn known_baseline(&self, base: &Base, commands: &Commands) -> Vec<CheckReport> {
        let mut known = self.baseline_before(base);
        known.retain(|report| commands.checks.contains(&report.command));
        let told = known
            .iter()
            .cloned()
            .map(|report| Event::Checked { report });
        self.log.emit_all(told.collect()).await;
        known
    }

    /// Undoes what setup and checks did to the files of `revision`, and hides what they left behind,
    /// so that neither ends up in the change.
    pub(super) async fn settle(&self, revision: &str) -> Result<(), Halt> {
        let task = ["settle", "--to", revision];
        self.run_tool_host(
            &task,
            "the workspace could not be restored after the checks",
        )
        .await
    }

    async fn run_tool_host(&self, task: &[&str], failure: &str) -> Result<(), Halt> {
        self.run_tool_host_within(TOOL_HOST_TIMEOUT, task, failure)
            .await
    }

    async fn run_tool_host_within(
        &self,
        limit: Duration,
        task: &[&str],
        failure: &str,
    ) -> Result<(), Halt> {
        let sandbox = self.sandbox()?;
        let host = sandbox.tool_host().to_string_lossy().into_owned();
        let argv = [host.as_str(), "tool-host"]
            .into_iter()
            .chain(task.iter().copied());
        let process = sandbox.spawn(SandboxCommand::new(argv)).await?;
        drop(process.stdin);
        let mut complaint = String::new();
        let mut stderr = process.stderr.take(MAX_COMPLAINT_BYTES);
        let ended = tokio::time::timeout(limit, async {
            let _ = stderr.read_to_string(&mut complaint).await;
            process.exit.await
        })
        .await;
        match ended {
            Ok(Ok(exit)) if exit.shell_code() == 0 => return Ok(()),
            Ok(_) => {}
            Err(_) => {
                let _ = write!(complaint, " it did not end within {} s", limit.as_secs());
            }
        }
        let message = format!("{failure}: {}", complaint.trim());
        Err(Halt::Failed(FailureKind::Sandbox, message))
    }
}

pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
