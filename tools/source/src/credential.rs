//! How a credential reaches git: through an inherited pipe, for one origin only.
//!
//! The pipe is git's standard input, which the launching shell moves to descriptor 9. An inline
//! credential helper, configured for the origin alone, reads it when git asks for that origin. So
//! the secret is in no argument, no environment, no URL, no configuration and no file.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::ForgeCredential;

/// What the pipe holds, in git's credential format.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// The secret to offer to `origin`; none for an anonymous caller.
    pub(crate) fn for_origin(
        credential: Option<&ForgeCredential>,
        origin: &str,
    ) -> Result<Option<Self>, SourceError> {
        let Some(credential) = credential else {
            return Ok(None);
        };
        let Some(password) = &credential.password else {
            return Ok(None);
        };
        if credential.origin != origin {
            return Err(error(format!(
                "the credential is for `{}` and is not offered to `{origin}`",
                credential.origin
            )));
        }
        if [&credential.username, password]
            .iter()
            .any(|text| text.contains(['\n', '\r', '\0']))
        {
            return Err(error(format!(
                "the credential for `{origin}` holds a line break; check the variable it comes from"
            )));
        }
        let text = format!("username={}\npassword={password}\n", credential.username);
        Ok(Some(Self(text.into_bytes())))
    }

    /// The configuration that makes git ask for it, for this origin only.
    pub(crate) fn helper(origin: &str) -> String {
        format!("credential.{origin}.helper=!f() {{ test \"$1\" = get && cat <&9; }}; f")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes the password out of a text, should a server ever echo it.
pub(crate) fn redact(text: &str, credential: Option<&ForgeCredential>) -> String {
    match credential.and_then(|credential| credential.password.as_deref()) {
        Some(password) if !password.is_empty() => text.replace(password, "…"),
        _ => text.to_owned(),
    }
}

fn error(message: String) -> SourceError {
    SourceError::new(FailureKind::Credential, message)
}
