//! Finds the commit that a recorded run started from, without asking its remote.

use anyhow::Context;
use pullwright_core::source::{Base, Fetch, Repository, Source};
use pullwright_source::{GitSource, mirrored};

use super::Replay;
use crate::compose;

impl Replay {
    /// The recorded commit: in the repository that is named, or else in this machine's mirror.
    pub(super) async fn base(&self, git: &GitSource) -> anyhow::Result<Base> {
        let recording = &self.recording;
        let repository = git.accept(&recording.request.repo_url)?;
        let (branch, commit) = (&recording.branch, &recording.commit);
        let Some(path) = &self.repository else {
            return self.mirrored(repository).await;
        };
        let path = path
            .canonicalize()
            .with_context(|| format!("there is no repository at {}", path.display()))?;
        let local = git.accept(&path.to_string_lossy())?;
        let fetch = Fetch {
            repository: &local,
            branch: Some(branch),
            commit: Some(commit),
            since: None,
            credential: None,
        };
        let base = git.fetch(fetch).await?;
        Ok(Base { repository, ..base })
    }

    async fn mirrored(&self, repository: Repository) -> anyhow::Result<Base> {
        let (branch, commit) = (&self.recording.branch, &self.recording.commit);
        let data_dir = std::path::absolute(compose::git_dir(&self.data_dir))?;
        let base = mirrored(&data_dir, &repository, branch, commit).await?;
        let whose = match self.recording.request.caller_token {
            true => " (it was read with its caller's token, which is not kept)",
            false => "",
        };
        base.with_context(|| {
            format!(
                "commit {commit} of `{}` is not in this machine's mirror{whose}; name a clone that has it with \
                 --repository",
                repository.url
            )
        })
    }
}
