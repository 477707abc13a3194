//! Names that a git repository must not hold: on some file system they would be `.git`.

/// Why a file of this name cannot be part of a commit, if it cannot.
pub(crate) fn forbidden(name: &[u8], is_link: bool) -> Option<&'static str> {
    if means_dot_git(name) {
        return Some("its name means `.git` on some file systems, which git forbids");
    }
    if is_link && means_gitmodules(name) {
        return Some("`.gitmodules` may not be a symbolic link");
    }
    None
}

/// `.git` in any case, or what NTFS and HFS+ take for it. Git's own check of a fetched repository
/// refuses such a tree as a whole, so one stray folder would cost all the work.
fn means_dot_git(name: &[u8]) -> bool {
    let visible = without_ignorable(name);
    let short = [&b".git"[..], b"git~1"];
    short.iter().any(|reserved| {
        [name, &visible].iter().any(|name| {
            name.get(..reserved.len()).is_some_and(|start| {
                start.eq_ignore_ascii_case(reserved) && ends_on_ntfs(&name[reserved.len()..])
            })
        })
    })
}

/// NTFS drops trailing dots and spaces, and takes what follows a colon for a stream.
fn ends_on_ntfs(rest: &[u8]) -> bool {
    let trailing = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'.'))
        .count();
    matches!(rest.get(trailing), None | Some(b':' | b'\\'))
}

/// HFS+ ignores these characters in names.
fn without_ignorable(name: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(name) else {
        return name.to_vec();
    };
    let ignorable = |char: &char| matches!(char, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    text.chars()
        .filter(|char| !ignorable(char))
        .collect::<String>()
        .into_bytes()
}

fn means_gitmodules(name: &[u8]) -> bool {
    let name = without_ignorable(name).to_ascii_lowercase();
    let short = name
        .strip_prefix(b"gitmod~")
        .or_else(|| name.strip_prefix(b"gi7eba"));
    short.is_some() || name.strip_prefix(b".gitmodules").is_some_and(ends_on_ntfs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_dot_git_is_forbidden() {
        for name in [
            ".git",
            ".GIT",
            ".Git.",
            ".git ",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            ".git::$INDEX",
        ] {
            assert!(forbidden(name.as_bytes(), false).is_some(), "{name:?}");
        }
        for name in [
            ".gitignore",
            ".github",
            "git",
            "git~2",
            "x.git",
            ".gitmodules",
        ] {
            assert!(forbidden(name.as_bytes(), false).is_none(), "{name:?}");
        }
        assert!(forbidden(b".gitmodules", true).is_some());
    }
}
