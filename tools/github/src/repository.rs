//! A repository's name, fit to be put into a path.

use std::fmt;

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
}
