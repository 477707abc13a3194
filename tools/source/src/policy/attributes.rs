//! Attributes that name a driver: with a matching configuration they start a program on the
//! machine of whoever checks the branch out.

use std::collections::BTreeSet;

use git2::Repository;
use pullwright_core::source::SourceError;

use super::content::small_blob;
use crate::diff::{Change, Entry};

/// A larger attributes file is refused unread, in bytes.
const MAX_ATTRIBUTES_BYTES: usize = 1 << 20;
/// Diff drivers built into git: they only choose a pattern.
const BUILT_IN_DIFF: &[&str] = &[
    "ada", "bash", "bibtex", "cpp", "csharp", "css", "dts", "elixir", "fortran", "fountain",
    "golang", "html", "java", "kotlin", "markdown", "matlab", "objc", "pascal", "perl", "php",
    "python", "ruby", "rust", "scheme", "tex", "ini",
];
/// Merge drivers built into git.
const BUILT_IN_MERGE: &[&str] = &["text", "binary", "union"];

pub(crate) fn is_attributes_file(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.eq_ignore_ascii_case(b".gitattributes")
}

/// Refuses a driver that the base did not name in the same file already.
pub(crate) fn refusal(git: &Repository, change: &Change) -> Result<Option<String>, SourceError> {
    let Some(new) = drivers_of(git, change.new)? else {
        return Ok(Some("is an attributes file too large to be checked".into()));
    };
    let old = drivers_of(git, change.old)?.unwrap_or_default();
    let added = new.difference(&old).next();
    Ok(added.map(|driver| {
        format!(
            "sets the attribute `{}`, which can start a program",
            driver.escape_debug()
        )
    }))
}

fn drivers_of(
    git: &Repository,
    entry: Option<Entry>,
) -> Result<Option<BTreeSet<String>>, SourceError> {
    let Some(entry) = entry else {
        return Ok(Some(BTreeSet::new()));
    };
    let text = small_blob(git, entry, MAX_ATTRIBUTES_BYTES)?;
    Ok(text.map(|text| drivers(&String::from_utf8_lossy(&text))))
}

/// Every word that sets a driver. The pattern's word is looked at too, which errs on the safe side.
fn drivers(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split([' ', '\t', '\r']))
        .filter(|word| names_driver(word))
        .map(str::to_owned)
        .collect()
}

fn names_driver(word: &str) -> bool {
    match word.split_once('=') {
        Some(("filter", _)) => true,
        Some(("diff", driver)) => !BUILT_IN_DIFF.contains(&driver),
        Some(("merge", driver)) => !BUILT_IN_MERGE.contains(&driver),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::drivers;

    #[test]
    fn drivers_are_found_wherever_they_stand() {
        for text in [
            "* filter=evil",
            "\"a b\" text filter=lfs",
            "[attr]x diff=evil",
            "a merge=evil -text",
            "x\n  *.bin\tfilter=a\r\n",
        ] {
            assert_eq!(drivers(text).len(), 1, "{text}");
        }
        for text in [
            "",
            "# * filter=x",
            "* text=auto eol=lf",
            "*.rs diff=rust",
            "a merge=union",
            "a -filter !diff",
        ] {
            assert!(drivers(text).is_empty(), "{text}");
        }
    }
}
