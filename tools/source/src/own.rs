//! Credentials of our own, for hosts without a forge that gives some.

use pullwright_core::source::{Repository, SourceError};
use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::ForgeCredential;

/// A credential that the configuration names.
#[derive(Clone, Debug)]
pub struct OwnCredential {
    /// What is offered to its origin alone. Without a password while the variable is not set.
    pub credential: ForgeCredential,
    /// The variable that holds the password.
    pub variable: String,
}

/// The credential for the repository's origin, if there is a row for it.
pub(crate) fn for_repository<'a>(
    own: &'a [OwnCredential],
    repository: &Repository,
) -> Result<Option<&'a ForgeCredential>, SourceError> {
    let is_its = |own: &&OwnCredential| Some(&own.credential.origin) == repository.origin.as_ref();
    let Some(own) = own.iter().find(is_its) else {
        return Ok(None);
    };
    if own.credential.password.is_none() {
        let message = format!(
            "the credential for `{}` is in the environment variable {}, which is not set; set it \
             where Pullwright is started",
            own.credential.origin, own.variable
        );
        return Err(SourceError::new(FailureKind::Credential, message));
    }
    Ok(Some(&own.credential))
}
