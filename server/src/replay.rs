//! Drives a recorded run again, offline, and says in what it differs.
//!
//! The loop is the real one. Its model answers as it is recorded, the repository is at the recorded commit, and
//! nothing is pushed. Tools, sandbox and checks are real, or play what is recorded too; then only the loop
//! itself, its prompts included, can differ.

mod base;
mod drive;
mod facts;
mod messages;
mod model;
mod plain;
mod recorded;
mod recording;
mod source;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use pullwright_core::config::{Config, MovedBase, Verified};
use pullwright_core::run::RunParts;
use pullwright_core::sandbox::SandboxHost;
use pullwright_core::source::Base;
use pullwright_core::store::RunStore;
use pullwright_protocol::{CheckReport, Event, Publish, RunId, RunRequest};
use pullwright_source::GitSource;
use tokio_util::sync::CancellationToken;

use crate::compose::{self, LockFile, Setting};
use crate::store::SqliteStore;

use drive::drive;
use messages::Messages;
use model::RecordedModels;
use plain::Plain;
use recorded::{RecordedSandboxes, RecordedTools, RecordedWork, play_all, play_host_rows};
use source::OfflineSource;
use verdict::{RUN, WORKSPACE};

pub use plain::Difference;
pub use recording::{Recording, RecordingError};

/// What plays the tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tools {
    /// The real ones, in a real sandbox. Those on the host play what is recorded, since they lead out.
    #[default]
    Real,
    /// What is recorded, for the checks and the change as well. Needs no sandbox.
    Recorded,
}

/// A run to drive again.
pub struct Replay {
    /// The recorded run.
    pub recording: Recording,
    /// Its patch, if it has one.
    pub patch: Option<Vec<u8>>,
    /// The configuration: tools, sandbox, checks and limits are as it says.
    pub config: Config,
    /// Where it was read: the accepted tools are recorded beside it.
    pub config_file: PathBuf,
    /// The repository; its mirror in `data_dir` if absent.
    pub repository: Option<PathBuf>,
    /// Where mirrors are.
    pub data_dir: PathBuf,
    /// An empty folder for everything the replay writes, through which a sandbox's user can pass.
    pub folder: PathBuf,
    /// What plays the tools.
    pub tools: Tools,
}

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// Its id.
    pub run: RunId,
    /// Its events.
    pub events: Vec<Event>,
    /// How many replies the model was asked for.
    pub replies: usize,
    /// In what it differs from the recorded run; nothing where it is the same.
    pub differences: Vec<Difference>,
}

impl Replay {
    /// Drives the run again, until its end or until `stop` fires.
    ///
    /// # Errors
    /// When it cannot be driven as far as its recorded model answers, or real tools cannot play it again.
    pub async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<Replayed> {
        if let (Tools::Real, Some(why)) = (self.tools, &self.recording.only_recorded) {
            return Err(why.clone().into());
        }
        self.suit_config();
        let setting = Setting {
            data_dir: self.folder.clone(),
            allow_local_paths: true,
            config_file: Some(self.config_file.clone()),
            ..Setting::default()
        };
        let git = compose::source(&self.config, &setting)?;
        let base = self.base(&git).await?;
        let git = Arc::new(git);
        let store = self.store().await?;
        let messages = Messages::new(Arc::clone(&store), &self.recording.heard);
        let messages = Arc::new(messages);
        let offline = self.offline(&git, base, &messages);
        let recorded = verdict::own(&self.recording);
        let mut now = Plain::default();
        now.add(&self.folder.to_string_lossy(), "<folder>");
        let recording = Arc::new(self.recording.clone());
        let plain = [recorded.clone(), now.clone()];
        let models = RecordedModels::new(Arc::clone(&recording), messages, plain);
        let source = Arc::clone(&offline);
        let parts = self.parts(store, git, source, models.clone()).await?;
        // The recorded forge and the mirror need no token, and there is none.
        let request = RunRequest {
            caller_token: false,
            ..recording.request.clone()
        };
        let (run, events) = drive(parts, request, &models, stop).await?;
        now.add(&run.0, RUN);
        if let Some(workspace) = models.workspace() {
            now.add(&workspace, WORKSPACE);
        }
        let plain = [recorded, now];
        let would_push = offline.would_push();
        Ok(Replayed {
            differences: verdict::differences(&recording, &events, &models, would_push, plain),
            replies: models.asked(),
            run,
            events,
        })
    }

    async fn parts(
        self,
        store: Arc<dyn RunStore>,
        git: Arc<GitSource>,
        source: Arc<OfflineSource>,
        models: RecordedModels,
    ) -> anyhow::Result<RunParts> {
        Ok(RunParts {
            store,
            source,
            files: git,
            sandboxes: self.sandboxes().await?,
            providers: Arc::new(models),
            host_tools: Arc::new(RecordedTools::of(&self.recording)),
            approval: Arc::new(LockFile::beside(Some(&self.config_file))),
            runs_dir: self.folder.join("runs"),
            keeps_up: false,
            notice: None,
            config: Arc::new(self.config),
        })
    }

    /// Lets the recorded models play, and what must not reach outside.
    fn suit_config(&mut self) {
        // Nothing is pushed, and nothing has moved.
        self.recording.request.publish = None;
        let repositories = &mut self.config.repositories;
        (repositories.publish, repositories.moved_base) = (Publish::Auto, MovedBase::Keep);
        self.config.commit.verified = Verified::Off;
        let models = &self.recording.models;
        let mut rows = models.iter().map(|(model, _)| &model.provider);
        let agent = &mut self.config.agent;
        if let Some(first) = rows.next() {
            agent.provider.clone_from(first);
        }
        agent.fallback = rows.cloned().collect();
        if models.iter().any(|(_, limits)| limits.prices.is_none()) {
            self.config.budget.max_usd = None;
            self.recording.request.budget.max_usd = None;
        }
        if self.tools == Tools::Real {
            return play_host_rows(&mut self.config, &self.recording);
        }
        play_all(&mut self.config);
        let is_endless = |report: &CheckReport| report.exit_code.is_none();
        let mut checks = self
            .recording
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Checked { report } => Some(report),
                _ => None,
            });
        if checks.any(is_endless) {
            // It is played as one that does not end.
            self.config.checks.timeout_sec = 1;
        }
    }

    async fn sandboxes(&self) -> anyhow::Result<Arc<dyn SandboxHost>> {
        match self.tools {
            Tools::Real => compose::sandbox_host(&self.config, &self.folder).await,
            Tools::Recorded => Ok(Arc::new(RecordedSandboxes::of(&self.recording))),
        }
    }

    async fn store(&self) -> anyhow::Result<Arc<dyn RunStore>> {
        let store = SqliteStore::open(self.folder.join("runs.sqlite")).await?;
        Ok(Arc::new(store))
    }

    fn offline(
        &self,
        git: &Arc<GitSource>,
        base: Base,
        messages: &Arc<Messages>,
    ) -> Arc<OfflineSource> {
        let recorded = match self.tools {
            Tools::Real => None,
            Tools::Recorded => {
                let patch = self.patch.clone().unwrap_or_default();
                Some(RecordedWork::new(&self.recording.events, patch))
            }
        };
        let (git, messages) = (Arc::clone(git), Arc::clone(messages));
        Arc::new(OfflineSource::new(git, base, recorded, messages))
    }
}
