//! Branch names: git's own rules, and none of the names that are not a branch's.

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

/// The longest branch name taken, in bytes: below the file name limit of most servers.
const MAX_BRANCH_LEN: usize = 244;

/// Whether git and we allow the name for a branch.
#[must_use]
pub fn is_branch_name(branch: &str) -> bool {
    defect(branch).is_none()
}

/// Checks a branch name as `git check-ref-format --branch` does.
pub(crate) fn check(branch: &str) -> Result<(), SourceError> {
    match defect(branch) {
        None => Ok(()),
        Some(defect) => Err(SourceError::new(
            FailureKind::BadRequest,
            format!("`{}` is not a branch name: {defect}", branch.escape_debug()),
        )),
    }
}

fn defect(branch: &str) -> Option<&'static str> {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    match branch {
        "" => Some("it is empty"),
        "HEAD" | "@" => Some("git means something else by it"),
        _ if branch.len() > MAX_BRANCH_LEN => Some("it is too long"),
        _ if branch.starts_with('-') => Some("it begins with a dash"),
        _ if branch.starts_with("refs/") => Some("it begins with `refs/`"),
        _ if branch.contains(forbidden) => Some("it holds a character that git does not take"),
        _ if branch.contains("..") || branch.contains("@{") || branch.ends_with('.') => {
            Some("it holds `..` or `@{`, or ends with a dot")
        }
        _ if branch.split('/').any(bad_part) => {
            Some("a part is empty, begins with a dot or ends with `.lock`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn takes_what_git_takes() {
        for good in [
            "main",
            "feature/x",
            "pullwright/fix-a-1",
            "ü",
            "a@b",
            "v1.0",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "HEAD",
            "a@{b",
            "a\nb",
            "refs/heads/a",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
