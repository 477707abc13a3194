//! Files that a run may not change: by default those that run with the repository's rights, by configuration more.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::diff::{Change, SYMLINK};

/// What runs with the repository's rights once it is merged or even proposed, and what declares submodules.
const BY_DEFAULT: &[&str] = &[".github/workflows/**", ".github/actions/**", ".gitmodules"];

/// The rules of a configuration.
#[derive(Debug)]
pub(crate) struct Protected {
    rules: Vec<Rule>,
    allowed: GlobSet,
}

#[derive(Debug)]
struct Rule {
    glob: String,
    matches: GlobSet,
}

impl Protected {
    /// The error says what is wrong with which glob.
    pub(crate) fn new(protected: &[String], allow: &[String]) -> Result<Self, String> {
        let globs = BY_DEFAULT.iter().copied();
        let globs = globs.chain(protected.iter().map(String::as_str));
        let rule = |glob: &str| {
            Ok(Rule {
                glob: glob.to_owned(),
                matches: compile([glob])?,
            })
        };
        Ok(Self {
            rules: globs.map(rule).collect::<Result<_, String>>()?,
            allowed: compile(allow.iter().map(String::as_str))?,
        })
    }

    pub(crate) fn refusal(&self, change: &Change) -> Option<String> {
        let path = Path::new(OsStr::from_bytes(&change.path));
        if self.allowed.is_match(path) {
            return None;
        }
        let is_link = change.new.is_some_and(|entry| entry.mode == SYMLINK);
        let hit = self.rules.iter().find(|rule| {
            rule.matches.is_match(path) || (is_link && rule.lies_below(&change.path))
        })?;
        let why = match BY_DEFAULT.contains(&&hit.glob[..]) {
            true if hit.glob == ".gitmodules" => "declares submodules, which a run may not change",
            true => "may run with the repository's rights",
            false => "is protected by `[policy]`",
        };
        Some(format!("{why} (`{}`)", hit.glob))
    }
}

impl Rule {
    /// Whether a symlink in this place would put something else where the rule's files are.
    fn lies_below(&self, link: &[u8]) -> bool {
        let fixed = self.glob.trim_start_matches('/').split('/');
        let fixed = fixed.take_while(|part| !part.contains(['*', '?', '[', '{', '\\']));
        let fixed: Vec<&str> = fixed.collect();
        let link: Vec<&[u8]> = link.split(|byte| *byte == b'/').collect();
        let mut pairs = link.iter().zip(&fixed);
        self.glob.contains('/')
            && link.len() <= fixed.len()
            && pairs.all(|(part, fixed)| part.eq_ignore_ascii_case(fixed.as_bytes()))
    }
}

/// From the root where there is a slash, in any folder where there is none; a folder means all that is in it. Case
/// does not count, since it does not on the machines of some who check it out.
fn compile<'g>(globs: impl IntoIterator<Item = &'g str>) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let is_anchored = glob.trim_end_matches('/').contains('/');
        let plain = glob.trim_matches('/');
        let plain = match is_anchored {
            true => plain.to_owned(),
            false => format!("**/{plain}"),
        };
        for form in [plain.clone(), format!("{plain}/**")] {
            let built = GlobBuilder::new(&form)
                .literal_separator(true)
                .case_insensitive(true)
                .build();
            set.add(built.map_err(|error| format!("`{glob}` is not a glob: {}", error.kind()))?);
        }
    }
    set.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use git2::Oid;

    use super::*;
    use crate::diff::{Entry, FILE};

    fn refused(protected: &[&str], allow: &[&str], path: &str, mode: i32) -> bool {
        let owned = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rules = Protected::new(&owned(protected), &owned(allow)).unwrap();
        let id = Oid::from_str(&"1".repeat(40)).unwrap();
        let change = Change {
            path: path.as_bytes().to_vec(),
            old: None,
            new: Some(Entry { mode, id }),
        };
        rules.refusal(&change).is_some()
    }

    #[test]
    fn what_is_protected_without_a_word() {
        for (path, is_refused) in [
            (".github/workflows/ci.yml", true),
            (".GitHub/Workflows/ci.yml", true),
            (".github/actions/a/action.yml", true),
            (".gitmodules", true),
            ("vendor/.gitmodules", true),
            (".github/CODEOWNERS", false),
            ("docs/.github/workflows/ci.yml", false),
            ("src/workflows/a.rs", false),
        ] {
            assert_eq!(refused(&[], &[], path, FILE), is_refused, "{path}");
        }
    }

    #[test]
    fn what_a_configuration_adds_and_takes_back() {
        for (protected, allow, path, is_refused) in [
            (&["CODEOWNERS"][..], &[][..], "docs/CODEOWNERS", true),
            (&["infra/**"], &[], "infra/a/b.tf", true),
            (&["infra/"], &[], "infra/a/b.tf", true),
            (&["infra"], &[], "x/infra/b.tf", true),
            (&["/infra/x"], &[], "infra/x/y", true),
            (&["infra/*.tf"], &[], "infra/a/b.tf", false),
            (&["infra/**"], &["infra/docs/**"], "infra/docs/a.md", false),
            (
                &[],
                &[".github/workflows/**"],
                ".github/workflows/ci.yml",
                false,
            ),
            (
                &[],
                &[".github/workflows/docs.yml"],
                ".github/workflows/ci.yml",
                true,
            ),
        ] {
            assert_eq!(refused(protected, allow, path, FILE), is_refused, "{path}");
        }
        let error = Protected::new(&["a[".to_owned()], &[]).unwrap_err();
        assert!(error.contains("`a[` is not a glob"), "{error}");
    }

    #[test]
    fn a_symlink_does_not_take_the_place_of_their_folder() {
        for (path, is_refused) in [
            (".github", true),
            (".GITHUB/workflows", true),
            ("github", false),
            (".github/other", false),
        ] {
            assert_eq!(refused(&[], &[], path, SYMLINK), is_refused, "{path}");
        }
        assert!(!refused(&[], &[], ".github", FILE));
    }
}
