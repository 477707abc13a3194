//! Symlinks must stay inside the tree, through other symlinks too.

use std::collections::{HashMap, VecDeque};

use git2::{Oid, Repository};
use pullwright_core::source::SourceError;

use super::content::small_blob;
use super::path::is_dot_git;
use crate::diff::{self, Change, Entry, SYMLINK, TREE};

/// The longest target a file system takes, in bytes.
const MAX_TARGET_BYTES: usize = 4096;
/// How many symlinks a path may lead through, as in Linux.
const MAX_HOPS: usize = 40;
/// Against a tree that unfolds without end: how many entries are looked at.
const MAX_ENTRIES: usize = 2_000_000;

/// Why the symlinks of the new tree are refused: those that changed, and those that lead out only
/// since something they lead through has changed.
pub(crate) fn refusals(
    git: &Repository,
    old: Oid,
    new: Oid,
    changes: &[Change],
) -> Result<Vec<String>, SourceError> {
    let is_link = |entry: Option<Entry>| entry.is_some_and(|entry| entry.mode == SYMLINK);
    if !changes
        .iter()
        .any(|change| is_link(change.new) || is_link(change.old))
    {
        return Ok(Vec::new());
    }
    let before = links(git, old)?;
    let after = links(git, new)?;
    let mut refusals: Vec<String> = after
        .iter()
        .filter_map(|(path, target)| {
            let why = defect(&after, path, target)?;
            let same = before.get(path) == Some(target) && defect(&before, path, target).is_some();
            (!same).then(|| format!("`{}` {why}", String::from_utf8_lossy(path).escape_debug()))
        })
        .collect();
    refusals.sort();
    Ok(refusals)
}

/// All symlinks of a tree: path to target.
type Links = HashMap<Vec<u8>, Vec<u8>>;

fn links(git: &Repository, tree: Oid) -> Result<Links, SourceError> {
    let mut links = Links::new();
    let (mut pending, mut seen) = (vec![(Vec::new(), tree)], 0);
    while let Some((prefix, tree)) = pending.pop() {
        for (name, entry) in diff::entries(git, tree)? {
            seen += 1;
            if seen > MAX_ENTRIES {
                return Err(crate::bundle::unsound("its tree has too many entries"));
            }
            let path = diff::join(&prefix, &name);
            match entry.mode {
                TREE => pending.push((path, entry.id)),
                SYMLINK => {
                    // A target cut to nothing is refused as unusable.
                    let target = small_blob(git, entry, MAX_TARGET_BYTES)?.unwrap_or_default();
                    links.insert(path, target);
                }
                _ => {}
            }
        }
    }
    Ok(links)
}

const OUT: &str = "is a symlink that leads out of the repository";

/// Follows a target from the folder of its symlink and says what is wrong with where it leads.
/// What does not exist is taken for a folder: it may exist tomorrow.
fn defect(links: &Links, path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.is_empty() || target.contains(&0) {
        return Some("is a symlink without a usable target");
    }
    let mut here = parts(path);
    here.pop();
    let mut ahead: VecDeque<&[u8]> = VecDeque::new();
    let mut next = Some(target);
    let mut hops = 0;
    loop {
        if let Some(target) = next.take() {
            hops += 1;
            if hops > MAX_HOPS {
                return Some("is a symlink that leads round in circles");
            }
            if target.first() == Some(&b'/') {
                return Some(OUT);
            }
            parts(target)
                .into_iter()
                .rev()
                .for_each(|part| ahead.push_front(part));
        }
        match ahead.pop_front()? {
            b"" | b"." => {}
            b".." => {
                if here.pop().is_none() {
                    return Some(OUT);
                }
            }
            part if is_dot_git(part) => return Some("is a symlink into `.git`"),
            part => {
                here.push(part);
                if let Some(target) = links.get(&here.join(&b'/')) {
                    here.pop();
                    next = Some(target);
                }
            }
        }
    }
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// A target of a few parts over a small alphabet, so that links meet each other.
    fn target() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(".."),
            Just("."),
            Just("a"),
            Just("b"),
            Just("d"),
            Just("e")
        ];
        (any::<bool>(), prop::collection::vec(part, 1..6)).prop_map(|(rooted, parts)| {
            // One in some begins at the root.
            let root = if rooted && parts.len() == 5 { "/" } else { "" };
            format!("{root}{}", parts.join("/"))
        })
    }

    fn path() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("a"),
            Just("b"),
            Just("d/a"),
            Just("d/b"),
            Just("d/e/a")
        ]
        .prop_map(str::to_owned)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// The kernel is the judge: whatever it resolves to a place outside is refused.
        #[test]
        fn nothing_accepted_leads_out(links in prop::collection::hash_map(path(), target(), 1..5)) {
            let outer = tempfile::tempdir().unwrap();
            let root = outer.path().canonicalize().unwrap().join("x/y/root");
            std::fs::create_dir_all(root.join("d/e")).unwrap();
            for (path, target) in &links {
                symlink(target, root.join(path)).unwrap();
            }
            let table: Links = links
                .iter()
                .map(|(path, target)| (path.clone().into_bytes(), target.clone().into_bytes()))
                .collect();
            for (path, target) in &table {
                let found = defect(&table, path, target);
                let real = root.join(Path::new(std::ffi::OsStr::from_bytes(path))).canonicalize();
                if let Ok(real) = real && !real.starts_with(&root) {
                    prop_assert!(found.is_some(), "{links:?}: {path:?} is {real:?}");
                } else if let Ok(real) = std::fs::metadata(root.join(
                    Path::new(std::ffi::OsStr::from_bytes(path)))) && found.is_some() {
                    // Refused although it ends inside: only because it went out on the way.
                    prop_assert!(real.is_dir());
                    prop_assert_eq!(found, Some(OUT));
                }
            }
        }
    }

    #[test]
    fn dangling_and_circular_targets() {
        let links = |pairs: &[(&str, &str)]| -> Links {
            pairs
                .iter()
                .map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec()))
                .collect()
        };
        let circle = links(&[("a", "b"), ("b", "a")]);
        assert!(defect(&circle, b"a", b"b").unwrap().contains("circles"));
        assert_eq!(defect(&Links::new(), b"a", b"missing/x"), None);
        assert_eq!(defect(&Links::new(), b"d/a", b"../x"), None);
        assert_eq!(defect(&Links::new(), b"a", b"missing/../../x"), Some(OUT));
        assert_eq!(defect(&Links::new(), b"a", b"/etc/passwd"), Some(OUT));
        assert!(
            defect(&Links::new(), b"a", b".git/config")
                .unwrap()
                .contains(".git")
        );
        assert!(defect(&Links::new(), b"a", b"").is_some());
    }
}
