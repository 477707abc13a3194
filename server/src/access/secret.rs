//! The secret of an API key: `pw_`, 43 random characters, and a checksum of six.
//!
//! The prefix is what scanners for leaked secrets look for, and the checksum tells a mistyped secret
//! from a wrong one without a look into the store. The random part has 256 bits, so that nobody can try
//! them all: one SHA-256 is enough to store, where a password would need a slow hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "pw_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62 to this power is just above 2 to the power of 256.
const RANDOM_CHARS: usize = 43;
/// 62 to this power is above 2 to the power of 32.
const CHECK_CHARS: usize = 6;

/// Random bytes from this one on would make some characters likelier than others.
const UNFAIR: u8 = 248;

/// A key's secret. It shows nothing of itself.
#[derive(Clone)]
pub struct Secret(String);

/// Why a text is no secret of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASecret {
    /// It looks like something else.
    #[error("it is no API key of Pullwright, which begins with `pw_`")]
    Foreign,
    /// It looks like a key, and its checksum is wrong.
    #[error("it is mistyped or cut off: its checksum is wrong")]
    Mistyped,
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut text = String::from(PREFIX);
        let mut bytes = [0; 64];
        while text.len() < PREFIX.len() + RANDOM_CHARS {
            getrandom::fill(&mut bytes)?;
            let missing = PREFIX.len() + RANDOM_CHARS - text.len();
            let fair = bytes.iter().filter(|byte| **byte < UNFAIR);
            text.extend(fair.take(missing).map(|byte| digit(u32::from(*byte))));
        }
        let check = checksum(&text);
        text.push_str(&check);
        Ok(Self(text))
    }

    /// The secret itself, for its owner's eyes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with(PREFIX) {
            return Err(NotASecret::Foreign);
        }
        let length = PREFIX.len() + RANDOM_CHARS + CHECK_CHARS;
        let parts = text.split_at_checked(length - CHECK_CHARS);
        match parts {
            Some((body, check)) if text.len() == length && check == checksum(body) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NotASecret::Mistyped),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pw_…")
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What a store kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id: the first 64 bits, in hexadecimal. It is no secret, and finds the key in the store,
    /// so that how long the search takes says nothing of the rest.
    #[must_use]
    pub fn id(&self) -> String {
        self.0[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Takes as long however much is the same.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

/// The first 32 bits of the SHA-256 of `body`, in base 62.
fn checksum(body: &str) -> String {
    let hash = Sha256::digest(body.as_bytes());
    let first = hash
        .iter()
        .take(4)
        .fold(0, |n, byte| n << 8 | u32::from(*byte));
    let places = (0..CHECK_CHARS as u32).rev();
    let place = |place| first / 62_u32.pow(place);
    places.map(place).map(digit).collect()
}

fn digit(number: u32) -> char {
    char::from(ALPHABET[number as usize % ALPHABET.len()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_new_secret_is_read_again_and_is_like_no_other() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let secret = Secret::generate().unwrap();
            assert_eq!(secret.expose().len(), 52);
            let again: Secret = secret.expose().parse().unwrap();
            assert_eq!(again.digest(), secret.digest());
            assert!(seen.insert(secret.expose().to_owned()));
        }
        let letters: BTreeSet<char> = seen.iter().flat_map(|text| text[3..46].chars()).collect();
        assert_eq!(letters.len(), ALPHABET.len(), "each character is used");
    }

    #[test]
    fn every_mistyped_character_is_noticed() {
        let secret = Secret::generate().unwrap();
        let text = secret.expose();
        for place in 3..text.len() {
            let other = if &text[place..=place] == "x" {
                "y"
            } else {
                "x"
            };
            let mistyped = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            let read = mistyped.parse::<Secret>();
            assert_eq!(read.err(), Some(NotASecret::Mistyped), "{place}");
        }
        for cut in [&text[..51], &text[..3], &format!("{text}0"), "pw_é"] {
            assert_eq!(cut.parse::<Secret>().err(), Some(NotASecret::Mistyped));
        }
        for foreign in ["", "pw", "ghp_abc", "PW_abc"] {
            assert_eq!(foreign.parse::<Secret>().err(), Some(NotASecret::Foreign));
        }
    }

    /// Scanners and other programs may rely on it.
    #[test]
    fn the_format_stays() {
        let body = format!("pw_{}", "0".repeat(43));
        let text = format!("{body}{}", checksum(&body));
        assert_eq!(text, "pw_00000000000000000000000000000000000000000001FBfZC");
        let secret: Secret = text.parse().unwrap();
        assert_eq!(secret.digest().id(), "78565b424fb86f04");
    }

    #[test]
    fn it_shows_nothing_of_itself() {
        let secret = Secret::generate().unwrap();
        assert_eq!(format!("{secret:?}"), "pw_…");
    }
}
