//! How a credential reaches git: through an inherited pipe, for one origin only.
//!
//! The pipe is git's standard input, which the launching shell moves to descriptor 9. An inline
//! credential helper, configured for the origin alone, reads it when git asks for that origin. So
//! the secret is in no argument, no environment, no URL, no configuration and no file.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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

/// Takes the credential out of a text, should a server ever echo it: as it is, and as it is sent.
pub(crate) fn redact(text: &str, credential: Option<&ForgeCredential>) -> String {
    let Some((user, password)) = credential.and_then(|credential| {
        let password = credential.password.as_deref()?;
        Some((credential.username.as_str(), password)).filter(|_| !password.is_empty())
    }) else {
        return text.to_owned();
    };
    let basic = STANDARD_NO_PAD.encode(format!("{user}:{password}"));
    let encoded = STANDARD_NO_PAD.encode(password);
    let escaped = percent_encoded(password);
    let forms = [
        basic,
        encoded,
        password.to_owned(),
        escaped.to_lowercase(),
        escaped,
    ];
    forms
        .iter()
        .fold(text.to_owned(), |text, form| text.replace(form, "…"))
}

/// As it stands in a URL.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

fn error(message: String) -> SourceError {
    SourceError::new(FailureKind::Credential, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_taken_out_of_what_a_server_echoes() {
        let credential = ForgeCredential {
            origin: "https://github.com".to_owned(),
            username: "x-access-token".to_owned(),
            password: Some("p+ss/word=1".to_owned()),
        };
        let echoes = [
            "p+ss/word=1",
            "Basic eC1hY2Nlc3MtdG9rZW46cCtzcy93b3JkPTE=",
            "Basic eC1hY2Nlc3MtdG9rZW46cCtzcy93b3JkPTE",
            "cCtzcy93b3JkPTE=",
            "p%2Bss%2Fword%3D1",
            "p%2bss%2fword%3d1",
        ];
        for echo in echoes {
            let told = redact(&format!("remote: {echo} is bad"), Some(&credential));
            assert!(told.contains('…') && told.ends_with(" is bad"), "{told}");
            for part in ["p+ss", "Nlc3M", "cCtz", "ss%2", "p%2"] {
                assert!(!told.contains(part), "{echo}: {told}");
            }
        }
        assert_eq!(redact("as it is", None), "as it is");
    }
}
