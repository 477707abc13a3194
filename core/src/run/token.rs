//! A run with its caller's own token.

use pullwright_protocol::FailureKind;

use super::{BoundToken, Run};
use crate::agent::Halt;
use crate::source::Repository;

/// Why a run ends whose token is gone.
const LOST: &str = "\
the run works with the token that its caller sent, and this server does not have it any more; start the run \
again with the token. For tokens that outlive a restart, name a variable with a key in `[server] \
token_key_env`, and keep the keys of before in it";

impl Run<'_> {
    /// Refuses to work with any other account where the caller's token is gone.
    pub(super) fn check_token(&self) -> Result<(), Halt> {
        match self.owned.request.caller_token && self.owned.token.is_none() {
            true => Err(Halt::Failed(FailureKind::Credential, LOST.to_owned())),
            false => Ok(()),
        }
    }

    /// The caller's token, bound to the repository's origin.
    pub(super) fn bound_token(&self, repository: &Repository) -> Result<Option<BoundToken>, Halt> {
        let Some(token) = self.owned.token.clone() else {
            return Ok(None);
        };
        match repository.origin.clone() {
            Some(origin) => Ok(Some(BoundToken { origin, token })),
            None => Err(untaken("a local path")),
        }
    }

    /// Refuses a token that the forge of this repository cannot work with.
    pub(super) fn check_forge_takes(&self, token: &BoundToken) -> Result<(), Halt> {
        let row = self.forge.as_ref().map(|forge| forge.name());
        let row = row.and_then(|name| self.parts.config.tools.get(name));
        let takes = |row| self.parts.host_tools.takes_token(row, &token.origin);
        match row.is_some_and(takes) {
            true => Ok(()),
            false => Err(untaken(&token.origin)),
        }
    }
}

fn untaken(origin: &str) -> Halt {
    let message = format!(
        "the caller sent a token, and no forge for {origin} can work with one: only the built-in `github` can, \
         with `hosts` naming that host; start the run again without the token, or configure such a row"
    );
    Halt::Failed(FailureKind::Credential, message)
}
