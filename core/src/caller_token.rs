//! The token that a caller has sent for the code host of its run.

use std::fmt;
use std::sync::Arc;

/// GitHub's tokens have up to about 500 characters, and those of others may be longer.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// A caller's token. It shows nothing of itself, and is no part of a run's request or log.
#[derive(Clone, PartialEq, Eq)]
pub struct CallerToken(Arc<str>);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// Nobody makes such long ones.
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It holds what no token does.
    #[error(
        "it holds something else than visible ASCII characters, such as a space or a line break"
    )]
    NotVisible,
}

impl CallerToken {
    /// The token in `text`, which is nothing but that.
    ///
    /// # Errors
    /// When it cannot be a token. The error does not show it.
    pub fn parse(text: &[u8]) -> Result<Self, NotAToken> {
        if text.is_empty() {
            return Err(NotAToken::Empty);
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(NotAToken::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| NotAToken::NotVisible)?;
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.into())),
            false => Err(NotAToken::NotVisible),
        }
    }

    /// The token itself, for the code host that it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bounded_and_visible_and_shows_nothing_of_itself() {
        let token = CallerToken::parse(b"ghp_canary+/=").unwrap();
        assert_eq!(token.expose(), "ghp_canary+/=");
        assert_eq!(format!("{token:?}"), "CallerToken(…)");
        assert!(CallerToken::parse(&[b'a'; MAX_TOKEN_BYTES]).is_ok());
        let long = [b'a'; MAX_TOKEN_BYTES + 1];
        let table: [(&[u8], NotAToken); 6] = [
            (b"", NotAToken::Empty),
            (&long, NotAToken::TooLong),
            (b"two words", NotAToken::NotVisible),
            (b"line\n", NotAToken::NotVisible),
            ("tökén".as_bytes(), NotAToken::NotVisible),
            (b"\xff", NotAToken::NotVisible),
        ];
        for (text, why) in table {
            assert_eq!(CallerToken::parse(text), Err(why));
        }
    }
}
