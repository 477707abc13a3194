//! Paths that no run may change, whatever is configured.

use crate::diff::{Change, SYMLINK};

/// Why the path itself is refused.
pub(crate) fn refusal(change: &Change) -> Option<String> {
    let parts: Vec<&[u8]> = change.path.split(|byte| *byte == b'/').collect();
    let last = parts.last().copied().unwrap_or_default();
    if parts
        .iter()
        .any(|part| is_dot_git(part) || matches!(*part, b"" | b"." | b".."))
    {
        return Some("is a name that git keeps for itself".into());
    }
    let symlink = change.new.is_some_and(|entry| entry.mode == SYMLINK);
    if symlink
        && last
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b".git"))
    {
        return Some("is a symlink in the place of a file that git reads".into());
    }
    None
}

/// Whether some file system takes the name for `.git`.
pub(crate) fn is_dot_git(name: &[u8]) -> bool {
    // NTFS drops trailing dots and spaces and reads a stream's name after a colon.
    let name = name.split(|byte| *byte == b':').next().unwrap_or_default();
    let end = name
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |at| at + 1);
    let name = &name[..end];
    // HFS+ ignores code points such as U+200C.
    let plain: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| {
            !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .collect();
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

#[cfg(test)]
mod tests {
    use super::is_dot_git;

    #[test]
    fn look_alikes_of_dot_git() {
        for name in [
            ".git",
            ".GIT",
            ".git.",
            ".git ",
            "git~1",
            ".git::$DATA",
            ".g\u{200c}it",
        ] {
            assert!(is_dot_git(name.as_bytes()), "{name}");
        }
        for name in [".github", ".gitignore", "git", "a.git", ".gitx", ""] {
            assert!(!is_dot_git(name.as_bytes()), "{name}");
        }
    }
}
