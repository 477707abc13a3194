//! How a run's change reaches its repository: found out before anything is paid for.

use std::time::Duration;

use pullwright_protocol::forge::{ForgeRepository, Preflight};
use pullwright_protocol::{Publish, Stage};

use super::Run;
use crate::agent::{Halt, Later};
use crate::forge::place::git_url;

/// How a change reaches its repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// As a branch of the repository.
    #[default]
    Branch,
    /// As a branch of this fork.
    Fork(ForgeRepository),
    /// Not at all, and why.
    Patch(String),
}

/// What the rights leave of what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    Branch,
    Fork,
    Patch(String),
}

impl Run<'_> {
    /// Finds out how the change can be published, and says so. A fork is made now: whether that is possible
    /// is known only afterwards.
    pub(super) async fn find_way(&mut self) -> Result<(), Halt> {
        if let Some(pushing) = &self.pushing {
            self.way = pushing.fork.clone().map_or(Way::Branch, Way::Fork);
            return Ok(());
        }
        let rights = self.forge.as_ref().map(|forge| forge.rights.as_ref());
        self.way = match (open(self.wanted(), rights), self.why_never_verified()) {
            (Open::Patch(reason), _) | (_, Some(reason)) => Way::Patch(reason),
            (Open::Branch, None) => Way::Branch,
            (Open::Fork, None) => self.fork().await?,
        };
        let message = match &self.way {
            Way::Branch => return Ok(()),
            Way::Fork(fork) => {
                let ForgeRepository { owner, name, .. } = fork;
                format!("the change will be proposed from the fork {owner}/{name}")
            }
            Way::Patch(reason) => {
                format!("this run cannot push; its work will be kept as a patch: {reason}")
            }
        };
        self.status(Stage::Clone, message).await;
        Ok(())
    }

    /// The configured way, or the more careful one that was asked for.
    pub(super) fn wanted(&self) -> Publish {
        let most = self.parts.config.repositories.publish;
        let asked = self.owned.request.publish;
        asked
            .filter(|asked| asked.is_as_careful_as(most))
            .unwrap_or(most)
    }

    /// That the forge is to be asked later is no answer to whether there is a fork, until that takes too long.
    async fn fork(&self) -> Result<Way, Halt> {
        let Some(forge) = &self.forge else {
            return Ok(Way::Patch(NO_FORGE.to_owned()));
        };
        match forge.fork().await {
            Ok(forked) => match self.parts.source.accept(&git_url(&forked.repository)) {
                Ok(_) => Ok(Way::Fork(forked.repository)),
                Err(error) => Ok(Way::Patch(format!(
                    "the fork may not be pushed to: {error}"
                ))),
            },
            Err(Halt::Later(later)) => self.fork_later(later),
            Err(Halt::Failed(_, reason)) => Ok(Way::Patch(format!("there is no fork: {reason}"))),
            Err(halt) => Ok(Way::Patch(format!("there is no fork: {halt}"))),
        }
    }

    /// A host that is out of order is not known to make no fork. One that has time to make it and does not is as
    /// good as one that does not make any.
    fn fork_later(&self, later: Later) -> Result<Way, Halt> {
        if later.is_outage {
            return Err(Halt::Later(later));
        }
        match self.may_wait(later) {
            Ok(later) if self.parked + later.wait <= LONGEST_WAIT => Err(Halt::Later(later)),
            Ok(Later { reason, .. }) => {
                let minutes = LONGEST_WAIT.as_secs() / 60;
                Ok(Way::Patch(format!(
                    "there is no fork: {reason}; a run waits for one for at most {minutes} minutes"
                )))
            }
            Err(Halt::Failed(_, reason)) => Ok(Way::Patch(format!("there is no fork: {reason}"))),
            Err(halt) => Err(halt),
        }
    }
}

/// How long a run that waits for its fork may have waited in all. A limit of an hour fits; one that is not ready by
/// then is hardly ever.
const LONGEST_WAIT: Duration = Duration::from_secs(65 * 60);

const NO_FORGE: &str = "no forge that is configured here makes forks of this repository";
const NO_RIGHT: &str = "the token in use may not push to this repository";

/// `rights` are those on the forge, where there is one; what they are may not be known.
fn open(wanted: Publish, rights: Option<Option<&Preflight>>) -> Open {
    let patch = |reason: &str| Open::Patch(reason.to_owned());
    if wanted == Publish::Patch {
        return patch("`publish = \"patch\"` is what was chosen");
    }
    let Some(rights) = rights else {
        return match wanted {
            Publish::Fork => patch(NO_FORGE),
            _ => Open::Branch,
        };
    };
    let Some(rights) = rights else {
        return match wanted {
            Publish::Fork => Open::Fork,
            _ => Open::Branch,
        };
    };
    if rights.archived {
        return patch("the repository is archived, so nothing can be pushed");
    }
    let no_push = || rights.why_no_push.as_deref().unwrap_or(NO_RIGHT);
    let no_fork = || rights.why_no_fork.as_deref().unwrap_or(NO_FORGE);
    match (wanted, rights.can_push, rights.can_fork) {
        (Publish::Auto | Publish::Branch, true, _) => Open::Branch,
        (Publish::Auto | Publish::Fork, _, true) => Open::Fork,
        (Publish::Auto, ..) => Open::Patch(format!(
            "{}; nor can it be proposed from a fork: {}",
            no_push(),
            no_fork()
        )),
        (Publish::Fork, ..) => {
            Open::Patch(format!("it is to be proposed from a fork: {}", no_fork()))
        }
        (Publish::Branch | Publish::Patch, ..) => patch(no_push()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(can_push: bool, can_fork: bool) -> Preflight {
        Preflight {
            default_branch: "main".to_owned(),
            can_push,
            why_no_push: None,
            can_fork,
            why_no_fork: (!can_fork).then(|| "use another token".to_owned()),
            why_no_workflows: None,
            merge_needs: Vec::new(),
            archived: false,
            private: false,
            size_kib: None,
            warnings: Vec::new(),
        }
    }

    fn way(wanted: Publish, can_push: bool, can_fork: bool) -> &'static str {
        match open(wanted, Some(Some(&rights(can_push, can_fork)))) {
            Open::Branch => "branch",
            Open::Fork => "fork",
            Open::Patch(_) => "patch",
        }
    }

    #[test]
    fn the_rights_and_the_choice_make_the_way() {
        let ways = |wanted| {
            [(true, true), (true, false), (false, true), (false, false)]
                .map(|(push, fork)| way(wanted, push, fork))
        };
        assert_eq!(ways(Publish::Auto), ["branch", "branch", "fork", "patch"]);
        assert_eq!(
            ways(Publish::Branch),
            ["branch", "branch", "patch", "patch"]
        );
        assert_eq!(ways(Publish::Fork), ["fork", "patch", "fork", "patch"]);
        assert_eq!(ways(Publish::Patch), ["patch"; 4]);
    }

    #[test]
    fn what_takes_no_change_gets_none() {
        let archived = Preflight {
            archived: true,
            ..rights(true, true)
        };
        for wanted in Publish::ALL {
            let open = open(*wanted, Some(Some(&archived)));
            assert!(matches!(open, Open::Patch(_)), "{wanted:?}: {open:?}");
        }
    }

    #[test]
    fn a_plain_remote_has_branches_and_no_forks() {
        assert_eq!(open(Publish::Auto, None), Open::Branch);
        assert_eq!(open(Publish::Branch, None), Open::Branch);
        assert!(matches!(open(Publish::Fork, None), Open::Patch(_)));
    }

    #[test]
    fn why_nothing_can_be_pushed_is_said() {
        let refused = Preflight {
            why_no_push: Some("the ruleset `Names` wants others".to_owned()),
            ..rights(false, false)
        };
        for wanted in [Publish::Auto, Publish::Branch] {
            let Open::Patch(reason) = open(wanted, Some(Some(&refused))) else {
                panic!("{wanted:?} is published");
            };
            assert!(reason.contains("the ruleset `Names`"), "{reason}");
        }
    }

    #[test]
    fn why_there_is_no_fork_is_said() {
        let Open::Patch(reason) = open(Publish::Auto, Some(Some(&rights(false, false)))) else {
            panic!("it is published");
        };
        assert!(
            reason.contains(NO_RIGHT) && reason.contains("use another token"),
            "{reason}"
        );
    }
}
