//! Where a run begins that goes on with the change of another one.

use std::sync::atomic::Ordering;

use pullwright_protocol::{Event, FailureKind, Published, Stage};

use super::told::{self, Place, Unpushed};
use crate::agent::Halt;
use crate::forge::place::git_url;
use crate::run::Run;
use crate::run::way::Way;
use crate::source::{Base, Repository, SourceError, Work};

/// Where a run begins.
pub(in crate::run) struct Start {
    pub(in crate::run) base: Base,
    /// Work that a run before has left and not published.
    pub(in crate::run) work: Option<Work>,
}

impl Run<'_> {
    /// Fetches what the run begins with.
    pub(in crate::run) async fn find_start(
        &mut self,
        repository: &Repository,
    ) -> Result<Start, Halt> {
        if self.followed.is_none() {
            let branch = self.owned.request.base_branch.clone();
            let base = self.fetch(repository, branch.as_deref(), None).await?;
            return Ok(Start { base, work: None });
        }
        let (base, place) = self.find_place(repository).await?;
        let (work, unpushed) = self.restore_followed(&base).await?;
        self.situation = told::situation(&place, &base, unpushed);
        Ok(Start { base, work })
    }

    /// The branch that holds the change, as it is now; else where the work that is kept began; else the
    /// branch that a change is proposed to.
    async fn find_place(&mut self, repository: &Repository) -> Result<(Base, Place), Halt> {
        let Some(followed) = &self.followed else {
            let message = "there is no run to follow".to_owned();
            return Err(Halt::Failed(FailureKind::Internal, message));
        };
        let asked = self.owned.request.base_branch.clone();
        let target = followed.target.clone().or(asked);
        let (published, kept) = (followed.published.clone(), followed.kept.clone());
        if let Some(published) = published {
            let gone = match self.fetch_published(repository, &published).await? {
                Ok(base) => {
                    let has_moved = base.commit != published.commit;
                    return Ok((
                        base,
                        Place::Branch {
                            published,
                            has_moved,
                        },
                    ));
                }
                Err(gone) => gone,
            };
            let message = format!("{gone}: what is asked for now becomes a change of its own");
            self.status(Stage::Clone, message).await;
            let base = self.fetch(repository, target.as_deref(), None).await?;
            if self.closed.is_none() && !matches!(self.way, Way::Fork(_)) {
                // What was asked about is the branch that is not there.
                self.preflight().await?;
                self.find_way().await?;
            }
            return Ok((base, Place::Anew { gone }));
        }
        if let Some(kept) = kept {
            let found = self.fetch(repository, Some(&kept.branch), Some(&kept.commit));
            match found.await {
                Err(Halt::Failed(FailureKind::Repository, reason)) => {
                    self.status(Stage::Clone, reason).await;
                }
                found => return Ok((found?, Place::Base)),
            }
        }
        let base = self.fetch(repository, target.as_deref(), None).await?;
        Ok((base, Place::Base))
    }

    /// The branch as it is now, or why the change cannot go on there.
    async fn fetch_published(
        &mut self,
        repository: &Repository,
        published: &Published,
    ) -> Result<Result<Base, String>, Halt> {
        if let Some(closed) = &self.closed {
            return Ok(Err(closed.clone()));
        }
        let branch = &published.branch;
        if matches!(self.way, Way::Fork(_)) && published.fork.is_none() {
            let gone =
                format!("the branch `{branch}` is not in a fork, and only forks are pushed to now");
            return Ok(Err(gone));
        }
        let holder = self.holder(published, repository)?;
        match self.try_to_fetch(&holder, Some(branch), None).await? {
            Ok(base) => Ok(Ok(base)),
            Err(error) if is_gone(&error, published) => {
                Ok(Err(format!("the branch `{branch}` is not there any more")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Why the pull request that is followed takes no more commits, if there is one that does not.
    pub(in crate::run) async fn why_closed(&self) -> Result<Option<String>, Halt> {
        let followed = self.followed.as_ref();
        let published = followed.and_then(|followed| followed.published.as_ref());
        let (Some(forge), Some(published)) = (&self.forge, published) else {
            return Ok(None);
        };
        let Some(url) = &published.pr_url else {
            return Ok(None);
        };
        let is_open = forge
            .has_open_pull_request(&published.branch, published.fork.as_ref())
            .await?;
        Ok((!is_open).then(|| format!("the pull request {url} is not open any more")))
    }

    /// The repository that holds what was published.
    pub(in crate::run) fn holder(
        &self,
        published: &Published,
        repository: &Repository,
    ) -> Result<Repository, Halt> {
        match &published.fork {
            Some(fork) => Ok(self.parts.source.accept(&git_url(fork))?),
            None => Ok(repository.clone()),
        }
    }

    /// The work that is kept, on the base, and how much of it that is.
    async fn restore_followed(&mut self, base: &Base) -> Result<(Option<Work>, Unpushed), Halt> {
        let followed = self.followed.as_ref();
        let Some(kept) = followed.and_then(|followed| followed.kept.clone()) else {
            return Ok((None, Unpushed::Nothing));
        };
        let has_moved = base.commit != kept.commit;
        let tree = (!has_moved).then_some(kept.tree.as_str());
        let Some(work) = self.restore_or_tell(base, tree).await else {
            // Nothing that this run does makes it superfluous, so it stays for the next one.
            self.is_kept.store(false, Ordering::Relaxed);
            return Ok((None, Unpushed::LeftOut));
        };
        if has_moved {
            self.store_patch(&work.patch).await?;
            let stored = Event::PatchStored {
                bytes: work.patch.len() as u64,
                files: work.changed.len() as u64,
                tree: work.tree.clone(),
                during_work: true,
            };
            self.log.emit(stored).await;
        }
        let is_whole = has_moved || work.tree == kept.tree;
        let unpushed = match is_whole {
            true => Unpushed::Whole,
            false => Unpushed::InPart,
        };
        Ok((Some(work), unpushed))
    }
}

/// Whether the branch is not there any more. A fork may be gone with all its branches.
fn is_gone(error: &SourceError, published: &Published) -> bool {
    let is_lost_fork = published.fork.is_some() && error.kind == FailureKind::Repository;
    error.is_missing_branch() || (is_lost_fork && !error.passes)
}
