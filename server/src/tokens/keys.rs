//! The keys that tokens are sealed with: AES-256-GCM, with the run's id as associated data, so that what is
//! sealed for one run opens for no other.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use pullwright_core::caller_token::CallerToken;
use pullwright_protocol::RunId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

const KEY_BYTES: usize = 32;

/// What is sealed begins with this, so that another way can follow one day.
const VERSION: u8 = 1;

/// How much of a hash names a key, in bytes.
const ID_BYTES: usize = 8;

/// More of them are a mistake.
const MAX_KEYS: usize = 16;

/// The keys: the first seals, and all open. They show nothing of themselves.
#[derive(Clone)]
pub struct TokenKeys(Arc<[Key]>);

struct Key {
    id: [u8; ID_BYTES],
    key: LessSafeKey,
}

/// Why there are no keys in a variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It is not set.
    #[error(
        "the environment variable {0}, named by `[server] token_key_env`, is not set; put a key of 32 random \
         bytes there, such as `openssl rand -base64 32` prints"
    )]
    Missing(String),
    /// One is no key.
    #[error(
        "key {number} in the environment variable {variable}, named by `[server] token_key_env`, is not 32 bytes \
         as base64 or in hexadecimal; `openssl rand -base64 32` prints one"
    )]
    Malformed {
        /// The variable.
        variable: String,
        /// Which of its keys, counted from 1.
        number: usize,
    },
    /// There are too many.
    #[error(
        "the environment variable {0}, named by `[server] token_key_env`, holds more than 16 keys; remove those \
         that no run under way needs any more"
    )]
    TooMany(String),
}

/// Why a sealed token does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unopened {
    #[error("there is no key here that it was sealed with")]
    UnknownKey,
    #[error("it is damaged, or was sealed for another run")]
    Damaged,
}

impl TokenKeys {
    /// The keys in the variable of this name.
    ///
    /// # Errors
    /// When it holds none, or something else. The error shows nothing of it.
    pub fn from_env(variable: &str) -> Result<Self, BadKeys> {
        Self::parse(variable, &std::env::var(variable).unwrap_or_default())
    }

    /// The keys in `text`, the value of `variable`.
    fn parse(variable: &str, text: &str) -> Result<Self, BadKeys> {
        let words = || text.split(|c: char| c.is_whitespace() || c == ',');
        let words = words().filter(|word| !word.is_empty());
        let malformed = |number| BadKeys::Malformed {
            variable: variable.to_owned(),
            number,
        };
        let keys = words
            .zip(1..)
            .map(|(word, number)| Key::parse(word).ok_or_else(|| malformed(number)))
            .collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(BadKeys::Missing(variable.to_owned())),
            1..=MAX_KEYS => Ok(Self(keys.into())),
            _ => Err(BadKeys::TooMany(variable.to_owned())),
        }
    }

    /// The token, for the store. Nothing where the system gives no random bytes.
    pub(crate) fn seal(&self, run: &RunId, token: &CallerToken) -> Option<Vec<u8>> {
        let key = self.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = token.expose().as_bytes().to_vec();
        let sealing = key.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated(run, &key.id)),
            &mut text,
        );
        sealing.ok()?;
        Some([&[VERSION], &key.id[..], &nonce, &text].concat())
    }

    /// The token that was sealed for this run.
    pub(crate) fn open(&self, run: &RunId, sealed: &[u8]) -> Result<CallerToken, Unopened> {
        let (version, rest) = sealed.split_first().ok_or(Unopened::Damaged)?;
        if *version != VERSION {
            return Err(Unopened::UnknownKey);
        }
        let (id, rest) = rest
            .split_first_chunk::<ID_BYTES>()
            .ok_or(Unopened::Damaged)?;
        let (nonce, text) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Unopened::Damaged)?;
        let key = self.0.iter().find(|key| key.id == *id);
        let key = &key.ok_or(Unopened::UnknownKey)?.key;
        let mut text = text.to_vec();
        let opened = key.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(associated(run, id)),
            &mut text,
        );
        let opened = opened.map_err(|_| Unopened::Damaged)?;
        CallerToken::parse(opened).map_err(|_| Unopened::Damaged)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").finish_non_exhaustive()
    }
}

impl Key {
    fn parse(word: &str) -> Option<Self> {
        let bytes = bytes_of(word)?;
        let hash = Sha256::digest([b"pullwright token key", &bytes[..]].concat());
        Some(Self {
            id: *hash.first_chunk()?,
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?),
        })
    }
}

fn bytes_of(word: &str) -> Option<[u8; KEY_BYTES]> {
    if word.len() == 2 * KEY_BYTES && word.is_ascii() {
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = word.as_bytes().chunks(2).map(digits).collect();
        return bytes.filter(|_| is_hex)?.try_into().ok();
    }
    let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    let decoded = engines.iter().find_map(|engine| engine.decode(word).ok());
    decoded?.try_into().ok()
}

fn associated(run: &RunId, key: &[u8; ID_BYTES]) -> Vec<u8> {
    [&[VERSION], &key[..], run.0.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const NEW: &str = "//////////////////////////////////////////8=";

    fn keys(text: &str) -> TokenKeys {
        TokenKeys::parse("KEYS", text).unwrap()
    }

    fn run(id: &str) -> RunId {
        RunId(id.to_owned())
    }

    fn token() -> CallerToken {
        CallerToken::parse(b"ghp_canary").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_run_alone() {
        let keys = keys(OLD);
        let sealed = keys.seal(&run("a"), &token()).unwrap();
        assert_eq!(keys.open(&run("a"), &sealed), Ok(token()));
        assert_eq!(keys.open(&run("b"), &sealed), Err(Unopened::Damaged));
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_ne!(keys.seal(&run("a"), &token()).unwrap(), sealed);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(keys.open(&run("a"), &changed).is_err(), "{place}");
            assert!(keys.open(&run("a"), &sealed[..place]).is_err(), "{place}");
        }
    }

    #[test]
    fn keys_take_turns() {
        let sealed = keys(OLD).seal(&run("a"), &token()).unwrap();
        let both = keys(&format!("{NEW}\n{OLD}\n"));
        assert_eq!(both.open(&run("a"), &sealed), Ok(token()));
        let anew = both.seal(&run("a"), &token()).unwrap();
        assert_eq!(keys(NEW).open(&run("a"), &anew), Ok(token()));
        assert_eq!(
            keys(NEW).open(&run("a"), &sealed),
            Err(Unopened::UnknownKey)
        );
    }

    #[test]
    fn a_key_may_be_written_in_several_ways_and_nothing_else() {
        let url_safe = NEW.replace('/', "_");
        for text in [OLD, NEW, &NEW[..43], &url_safe, &format!(" {OLD},{NEW} ")] {
            keys(text);
        }
        let malformed = |number| {
            let variable = "KEYS".to_owned();
            BadKeys::Malformed { variable, number }
        };
        let many = vec![OLD; 17].join(" ");
        for (text, why) in [
            ("", BadKeys::Missing("KEYS".to_owned())),
            (" \n", BadKeys::Missing("KEYS".to_owned())),
            ("short", malformed(1)),
            (&OLD[1..], malformed(1)),
            (&format!("{NEW} {}", OLD.replace('0', "+")), malformed(2)),
            ("a password that somebody thought of", malformed(1)),
            (&many, BadKeys::TooMany("KEYS".to_owned())),
        ] {
            let error = TokenKeys::parse("KEYS", text).unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.to_string().contains("password"), "{error}");
        }
        assert_eq!(format!("{:?}", keys(OLD)), "TokenKeys { .. }");
    }
}
