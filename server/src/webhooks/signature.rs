//! Whether a delivery is genuine.

use std::fmt;

use ring::hmac;

/// How GitHub writes a signature: this, and 64 hexadecimal digits.
const PREFIX: &str = "sha256=";
const HEX_CHARS: usize = 64;

/// The secrets that deliveries are signed with.
#[derive(Clone)]
pub(super) struct Secrets(Vec<hmac::Key>);

/// A signature as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature([u8; HEX_CHARS / 2]);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let keys = secrets.into_iter();
        let keys = keys.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        Self(keys.collect())
    }

    /// Whether one of them has signed `body`. The time that this takes says nothing of any of them.
    pub(super) fn have_signed(&self, body: &[u8], signature: &Signature) -> bool {
        let signed = |key: &hmac::Key| hmac::verify(key, body, &signature.0).is_ok();
        self.0.iter().filter(|key| signed(key)).count() > 0
    }
}

impl Signature {
    /// Reads the header `X-Hub-Signature-256`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?;
        if hex.len() != HEX_CHARS || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; HEX_CHARS / 2];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn secrets(secrets: &[&str]) -> Secrets {
        Secrets::new(secrets.iter().map(|secret| (*secret).to_owned()))
    }

    #[test]
    fn any_of_the_secrets_may_have_signed() {
        let signature = Signature::parse(SIGNATURE).unwrap();
        assert!(secrets(&[SECRET]).have_signed(BODY, &signature));
        assert!(secrets(&["older", SECRET]).have_signed(BODY, &signature));
        assert!(!secrets(&["older"]).have_signed(BODY, &signature));
        assert!(!secrets(&[]).have_signed(BODY, &signature));
        assert!(!secrets(&[SECRET]).have_signed(b"Hello, World?", &signature));
    }

    #[test]
    fn what_is_no_signature_is_not_read() {
        let short = &SIGNATURE[..SIGNATURE.len() - 1];
        let sha1 = SIGNATURE.replace("sha256", "sha1");
        let odd = SIGNATURE.replace('7', "é");
        for bad in [
            "",
            "sha256=",
            short,
            &sha1,
            &odd,
            &SIGNATURE[7..],
            "sha256=zz",
        ] {
            assert_eq!(Signature::parse(bad), None, "{bad}");
        }
    }
}
