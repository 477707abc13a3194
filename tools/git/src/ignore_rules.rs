//! What `.gitignore` files say of untracked paths.
//!
//! Only the files of the workspace count, and `info/exclude` of its repository: no configuration is
//! read, neither the repository's nor the user's.

use std::io::Read;
use std::path::Path;

use crate::files::{Opened, open_file};
use crate::glob::Glob;

/// An ignore file longer than this many bytes is not one, and reading it could take all memory.
const MAX_IGNORE_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The name of the files with the rules.
pub(crate) const GITIGNORE: &str = ".gitignore";

/// The rules in force in a folder, from the outermost to the innermost.
#[derive(Debug, Default)]
pub(crate) struct IgnoreRules {
    files: Vec<RuleFile>,
}

#[derive(Debug)]
struct RuleFile {
    /// The length of the folder's path with its slash.
    prefix: usize,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    glob: Glob,
    negated: bool,
    folders_only: bool,
    /// Without a slash, the pattern is for the last name of a path.
    name_only: bool,
}

impl IgnoreRules {
    /// Adds the rules of `file`, which are for the paths below `folder`. They win over those before.
    /// Without the file, or where it is no regular file, there are none.
    pub(crate) fn enter(&mut self, folder: &[u8], file: &Path) {
        let prefix = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        let rules = read_rules(file);
        self.files.push(RuleFile { prefix, rules });
    }

    /// Takes back the last [`IgnoreRules::enter`].
    pub(crate) fn leave(&mut self) {
        self.files.pop();
    }

    /// Whether an untracked `path` is ignored, given that none of its parents is.
    pub(crate) fn ignores(&self, path: &[u8], is_folder: bool) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if is_half_written(name) {
            return true;
        }
        for file in self.files.iter().rev() {
            for rule in file.rules.iter().rev() {
                let text = if rule.name_only {
                    name
                } else {
                    &path[file.prefix..]
                };
                if (is_folder || !rule.folders_only) && rule.glob.matches(text) {
                    return !rule.negated;
                }
            }
        }
        false
    }
}

/// What the fs tools write before it takes the name of its file; one that was killed leaves it behind.
fn is_half_written(name: &[u8]) -> bool {
    let numbers = name.strip_prefix(b".pullwright-");
    let numbers = numbers.and_then(|rest| rest.strip_suffix(b".tmp"));
    numbers.is_some_and(|rest| {
        rest.iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'-')
    })
}

fn read_rules(file: &Path) -> Vec<Rule> {
    let Ok(Opened::Regular(open, _)) = open_file(file) else {
        return Vec::new();
    };
    let mut text = Vec::new();
    if open
        .take(MAX_IGNORE_FILE_BYTES)
        .read_to_end(&mut text)
        .is_err()
    {
        return Vec::new();
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    text.split(|byte| *byte == b'\n').filter_map(rule).collect()
}

fn rule(line: &[u8]) -> Option<Rule> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"#") {
        return None;
    }
    let line = without_trailing_spaces(line);
    let (negated, line) = match line.strip_prefix(b"!") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (folders_only, line) = match line.strip_suffix(b"/") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let name_only = !line.contains(&b'/');
    let line = line.strip_prefix(b"/").unwrap_or(line);
    if line.is_empty() {
        return None;
    }
    Some(Rule {
        glob: Glob::new(line)?,
        negated,
        folders_only,
        name_only,
    })
}

/// Trailing spaces do not count, unless escaped.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        let width = if line[at] == b'\\' { 2 } else { 1 };
        if line[at] != b' ' {
            end = (at + width).min(line.len());
        }
        at += width;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(rules: &str, path: &str, is_folder: bool) -> bool {
        let file = RuleFile {
            prefix: 0,
            rules: rules
                .as_bytes()
                .split(|byte| *byte == b'\n')
                .filter_map(rule)
                .collect(),
        };
        IgnoreRules { files: vec![file] }.ignores(path.as_bytes(), is_folder)
    }

    #[test]
    fn the_last_rule_that_matches_wins() {
        assert!(ignores("*.log", "a/b.log", false));
        assert!(!ignores("*.log\n!b.log", "a/b.log", false));
    }

    #[test]
    fn a_slash_anchors_and_a_trailing_one_is_for_folders() {
        assert!(ignores("/out", "out", false) && !ignores("/out", "a/out", false));
        assert!(ignores("out/", "a/out", true) && !ignores("out/", "a/out", false));
        assert!(ignores("a/out", "a/out", false) && !ignores("a/out", "b/a/out", false));
    }

    #[test]
    fn comments_and_trailing_spaces_do_not_count_unless_escaped() {
        assert!(!ignores("#x", "#x", false) && ignores("\\#x", "#x", false));
        assert!(ignores("x  \r", "x", false) && ignores("x\\ ", "x ", false));
        assert!(ignores("\\!x", "!x", false));
    }
}
