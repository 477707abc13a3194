//! Repositories as keys name them: `HOST/OWNER/NAME`, with `*` for any part.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

/// Which repositories a key may work on, such as `github.com/acme/*`. `*` stays within a part, `**` does
/// not. Upper and lower case differ, but in the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryGlob {
    text: String,
    matcher: GlobMatcher,
}

/// A text that names no repositories.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no repositories: {1}; write HOST/OWNER/NAME, such as github.com/acme/*")]
pub struct BadRepositories(String, String);

impl RepositoryGlob {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, repository: &str) -> bool {
        self.matcher.is_match(repository)
    }
}

impl TryFrom<String> for RepositoryGlob {
    type Error = BadRepositories;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = |why: &str| BadRepositories(text.clone(), why.to_owned());
        if text.contains("://") || text.contains('@') {
            return Err(bad("it is a URL"));
        }
        if text.ends_with(".git") {
            return Err(bad("names are compared without `.git`"));
        }
        let Some((host, path)) = text.split_once('/').filter(|(host, _)| !host.is_empty()) else {
            return Err(bad("it has no owner and name"));
        };
        if path.split('/').any(str::is_empty) {
            return Err(bad("one of its parts is empty"));
        }
        let lowered = format!("{}/{path}", host.to_ascii_lowercase());
        let glob = GlobBuilder::new(&lowered).literal_separator(true).build();
        let glob = glob.map_err(|error| bad(&error.kind().to_string()))?;
        Ok(Self {
            text: lowered,
            matcher: glob.compile_matcher(),
        })
    }
}

impl std::str::FromStr for RepositoryGlob {
    type Err = BadRepositories;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<RepositoryGlob> for String {
    fn from(glob: RepositoryGlob) -> Self {
        glob.text
    }
}

impl PartialEq for RepositoryGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for RepositoryGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The repository behind a URL as `host/owner/name`, without user, scheme, usual port and `.git`. Nothing
/// for a URL that leaves room for doubt, which nobody is allowed by its name.
pub(super) fn name_of(url: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !"%?#\\".contains(c);
    if !url.chars().all(plain) {
        return None;
    }
    let (authority, path, usual_port) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            (authority, path, usual_port(scheme)?)
        }
        None => {
            let (authority, path) = url.split_once(':')?;
            (authority, path.strip_prefix('/').unwrap_or(path), ":22")
        }
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(usual_port).unwrap_or(&host);
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    let is_sound = !host.is_empty() && !host.contains('/') && !path.split('/').any(odd);
    is_sound.then(|| format!("{host}/{path}"))
}

/// The URLs by which a repository is usually named, each once and `text` first: a URL of it, or
/// `host/owner/name`. Nothing for what names none.
pub(crate) fn spellings(text: &str) -> Option<Vec<String>> {
    let is_url = text.contains("://") || text.contains('@');
    let name = match is_url {
        true => name_of(text)?,
        false => name_of(&format!("https://{text}"))?,
    };
    let (host, path) = name.split_once('/')?;
    let plain = [
        format!("https://{name}"),
        format!("http://{name}"),
        format!("ssh://git@{name}"),
        format!("git@{host}:{path}"),
    ];
    let alike = plain.iter().flat_map(|url| {
        let (git, slash) = (format!("{url}.git"), format!("{url}/"));
        [url.clone(), git, slash]
    });
    let others = alike.filter(|url| url != text);
    Some(std::iter::once(text.to_owned()).chain(others).collect())
}

fn usual_port(scheme: &str) -> Option<&'static str> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Some(":443"),
        "http" => Some(":80"),
        "ssh" => Some(":22"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn glob(text: &str) -> RepositoryGlob {
        text.parse().unwrap()
    }

    #[test]
    fn one_repository_has_one_name() {
        for url in [
            "https://github.com/acme/shop",
            "https://github.com/acme/shop.git",
            "https://GitHub.com:443/acme/shop/",
            "http://github.com:80/acme/shop",
            "ssh://git@github.com/acme/shop.git",
            "git@github.com:acme/shop.git",
        ] {
            assert_eq!(
                name_of(url).as_deref(),
                Some("github.com/acme/shop"),
                "{url}"
            );
        }
        let other = name_of("http://git.example.com:8080/a/b/c");
        assert_eq!(other.as_deref(), Some("git.example.com:8080/a/b/c"));
    }

    #[test]
    fn a_repository_has_several_spellings() {
        for text in [
            "GitHub.com/acme/shop",
            "https://github.com/acme/shop",
            "https://github.com/acme/shop.git",
            "git@github.com:acme/shop",
        ] {
            let spelled = spellings(text).unwrap();
            assert_eq!(spelled[0], text);
            let once: HashSet<&String> = spelled.iter().collect();
            assert_eq!(once.len(), spelled.len(), "{spelled:?}");
            for url in [
                "https://github.com/acme/shop",
                "git@github.com:acme/shop.git",
            ] {
                assert!(spelled.iter().any(|known| known == url), "{text}: {url}");
            }
            let named = spelled[1..].iter().map(|url| name_of(url));
            let mut others = named.filter(|name| name.as_deref() != Some("github.com/acme/shop"));
            assert_eq!(others.next(), None, "{text}");
        }
        let with_port = spellings("git.example.com:8080/a/b").unwrap();
        assert_eq!(with_port[1], "https://git.example.com:8080/a/b");
        for none in [
            "",
            "shop",
            "/srv/git/shop",
            "a b/c/d",
            "https://github.com",
            "a/b\0/c",
        ] {
            assert_eq!(spellings(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_leaves_room_for_doubt_has_no_name() {
        for url in [
            "",
            "/srv/git/shop",
            "file:///srv/git/shop",
            "ext::sh -c x",
            "https://github.com",
            "https:///acme/shop",
            "https://github.com/acme/../evil/shop",
            "https://github.com/acme/%2e%2e/evil",
            "https://github.com/acme//shop",
            "https://github.com/acme/shop?x",
            "https://github.com\\@evil.example/acme/shop",
        ] {
            assert_eq!(name_of(url), None, "{url}");
        }
    }

    #[test]
    fn a_star_stays_within_its_part() {
        let acme = glob("GitHub.com/acme/*");
        assert!(acme.matches("github.com/acme/shop"));
        for other in [
            "github.com/acme/shop/more",
            "github.com/acmex/shop",
            "github.com/Acme/shop",
            "evil.example/github.com/acme/shop",
        ] {
            assert!(!acme.matches(other), "{other}");
        }
        assert!(glob("git.example.com/**").matches("git.example.com/a/b/c"));
        assert!(glob("*/acme/shop").matches("gitlab.com/acme/shop"));
    }

    #[test]
    fn what_names_no_repositories_is_refused() {
        for (text, why) in [
            ("https://github.com/acme/*", "it is a URL"),
            ("git@github.com:acme/*", "it is a URL"),
            ("github.com", "no owner"),
            ("/acme/*", "no owner"),
            ("github.com//shop", "empty"),
            ("github.com/acme/shop.git", "without `.git`"),
            ("github.com/acme/[", "unclosed"),
        ] {
            let refused = text.parse::<RepositoryGlob>().unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
