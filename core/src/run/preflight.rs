//! The preflight: what the forge's token may do is found out, and told, before any money is spent.

use pullwright_protocol::{FailureKind, Stage};

use super::Run;
use crate::agent::Halt;
use crate::config::CloneMode;

impl Run<'_> {
    /// Finds out early what the token may do. A run that cannot publish says so before it spends
    /// money; its work is kept as a patch.
    pub(super) async fn preflight(&mut self) -> Result<(), Halt> {
        self.ask_rights().await?;
        self.tell_rights().await
    }

    /// The same where a pull request may be followed. One that is not open any more gets no commit, so that what
    /// counts is what may be done with the branch that is pushed instead.
    pub(super) async fn preflight_before_base(&mut self) -> Result<(), Halt> {
        self.ask_rights().await?;
        self.closed = self.why_closed().await?;
        if self.closed.is_some() {
            self.ask_rights().await?;
        }
        self.tell_rights().await
    }

    async fn ask_rights(&mut self) -> Result<(), Halt> {
        let Some(forge) = &self.forge else {
            return Ok(());
        };
        let rights = forge
            .preflight(|repository| self.planned(repository))
            .await?;
        if let Some(forge) = &mut self.forge {
            forge.rights = Some(rights);
        }
        Ok(())
    }

    async fn tell_rights(&self) -> Result<(), Halt> {
        let rights = self.forge.as_ref().and_then(|forge| forge.rights.as_ref());
        let Some(rights) = rights else {
            return Ok(());
        };
        let max_mb = self.parts.config.repositories.max_clone_mb;
        let is_full = self.parts.config.repositories.clone == CloneMode::Full;
        // Who fetches less finds out how much that is.
        let size_kib = rights.size_kib.filter(|_| is_full);
        if let Some(too_large) = size_kib.and_then(|kib| too_large(kib, max_mb)) {
            return Err(Halt::Failed(FailureKind::Limit, too_large));
        }
        let may_change_workflows = !self.parts.config.policy.allow.is_empty();
        let why_not = rights
            .why_no_workflows
            .iter()
            .filter(|_| may_change_workflows);
        let merge_needs = self.merge_needs(rights);
        for told in rights.warnings.iter().chain(why_not).chain(&merge_needs) {
            self.status(Stage::Clone, told.clone()).await;
        }
        Ok(())
    }

    /// What was not known when the run went on is asked again: whether it is a fork that is pushed to hangs on it.
    pub(super) async fn know_rights(&mut self) -> Result<(), Halt> {
        match &self.forge {
            Some(forge) if forge.rights.is_none() => self.preflight_again().await,
            _ => Ok(()),
        }
    }

    /// What was allowed before is tried again where it matters.
    pub(super) async fn preflight_again(&mut self) -> Result<(), Halt> {
        match self.preflight().await {
            Ok(()) => {}
            // How the change is published hangs on the answer.
            Err(Halt::Later(later)) if !later.is_outage || self.has_made_something() => {
                return Err(Halt::Later(later));
            }
            Err(error) => {
                let message = format!("what the token may do is not known: {error}");
                self.status(Stage::Clone, message).await;
            }
        }
        match self.pushed {
            Some(_) => Ok(()),
            None => self.find_way().await,
        }
    }
}

/// What is told of a repository that is not even begun to be fetched.
fn too_large(kib: u64, max_mb: u64) -> Option<String> {
    let mb = kib.div_ceil(1024);
    (mb > max_mb).then(|| {
        format!(
            "the repository has {mb} MiB, as its code host says, more than {max_mb} MiB; raise `[repositories] \
             max_clone_mb` if it is meant to be fetched"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_too_large_from_the_first_megabyte_too_much() {
        assert_eq!(too_large(2048 * 1024, 2048), None);
        let told = too_large(2048 * 1024 + 1, 2048).unwrap_or_default();
        assert!(told.contains("has 2049 MiB"), "{told}");
    }
}
