//! A repository's name, and other names, fit to be put into a path.

use std::fmt::{self, Write as _};

use pullwright_tool_kit::Refusal;

/// GitHub's longest repository name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// An owner and a name that hold no character with a meaning in a URL or a search.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl Repo {
    pub(crate) fn parse(owner: &str, name: &str) -> Result<Self, Refusal> {
        for (what, value) in [("owner", owner), ("repository name", name)] {
            if !is_plain(value) {
                return Err(Refusal::new(format!(
                    "`{}` is not a GitHub {what}: it must be 1 to {MAX_NAME_CHARS} letters, \
                     digits, dots, dashes and underscores",
                    value.escape_debug()
                )));
            }
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The API's path of `rest` in this repository.
    pub(crate) fn path(&self, rest: impl fmt::Display) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }

    /// Whether `full_name` (`owner/name`) is this repository.
    pub(crate) fn is(&self, full_name: &str) -> bool {
        full_name.eq_ignore_ascii_case(&self.to_string())
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // Dots alone would lead elsewhere.
    let is_dots = text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        match byte {
            b'.' if !is_dots => safe.push('.'),
            b'-' | b'_' | b'~' => safe.push(char::from(byte)),
            plain if plain.is_ascii_alphanumeric() => safe.push(char::from(plain)),
            other => {
                let _ = write!(safe, "%{other:02X}");
            }
        }
    }
    safe
}

/// A name of several parts, such as a branch's, as so many segments of a path.
pub(crate) fn segments(name: &str) -> String {
    name.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn is_plain(value: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&value.len())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !value.bytes().all(|byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        assert!(Repo::parse("tokio-rs", "mini_redis.rs").is_ok());
        for bad in [
            "", ".", "..", "a/b", "a b", "a?b", "a#b", "ä", "a%2fb", "a\nb",
        ] {
            assert!(Repo::parse("owner", bad).is_err(), "{bad:?}");
            assert!(Repo::parse(bad, "name").is_err(), "{bad:?}");
        }
        assert!(Repo::parse("owner", &"a".repeat(101)).is_err());
    }

    #[test]
    fn names_stay_in_their_place() {
        assert_eq!(segment("good first/issue?"), "good%20first%2Fissue%3F");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("ü-1.2_c"), "%C3%BC-1.2_c");
        assert_eq!(segments("release/1.2#ü"), "release/1.2%23%C3%BC");
        assert_eq!(segments("a/../%2F"), "a/%2E%2E/%252F");
    }
}
