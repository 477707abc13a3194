//! What a checkout does not have although the repository names it: the contents behind Git LFS pointers, and
//! submodules. Neither is fetched, since both may be anywhere.

use git2::{Oid, Repository};
use pullwright_core::source::SourceError;

use crate::diff::{self, EXECUTABLE, Entry, FILE, GITLINK, TREE};
use crate::objects;

/// How an LFS pointer begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// No pointer is larger, in bytes.
const MAX_POINTER_BYTES: usize = 1024;
/// A larger attributes file is not read, in bytes.
const MAX_ATTRIBUTES_BYTES: usize = 1 << 20;
/// How many entries are looked at, of a tree of any size.
const MAX_ENTRIES: usize = 200_000;
/// How many are named.
const MAX_NAMED: usize = 5;

/// One sentence for each kind, of a tree in a mirror.
pub(crate) async fn notices(
    mirror: std::path::PathBuf,
    tree: &str,
) -> Result<Vec<String>, SourceError> {
    let tree = objects::id(tree)?;
    objects::blocking(move || of_tree(&objects::open(&mirror)?, tree)).await
}

fn of_tree(git: &Repository, tree: Oid) -> Result<Vec<String>, SourceError> {
    let found = Found::in_tree(git, tree)?;
    let pointers = match found.uses_lfs {
        true => found.pointers(git),
        false => Vec::new(),
    };
    let pointers = (!pointers.is_empty()).then(|| {
        format!(
            "{} Git LFS; the content is not fetched: {}",
            counted(
                pointers.len(),
                "file is a pointer of",
                "files are pointers of"
            ),
            named(&pointers)
        )
    });
    let submodules = (!found.submodules.is_empty()).then(|| {
        format!(
            "{} not checked out: {}",
            counted(found.submodules.len(), "submodule is", "submodules are"),
            named(&found.submodules)
        )
    });
    Ok(pointers.into_iter().chain(submodules).collect())
}

#[derive(Default)]
struct Found {
    uses_lfs: bool,
    submodules: Vec<Vec<u8>>,
    files: Vec<(Vec<u8>, Entry)>,
}

impl Found {
    fn in_tree(git: &Repository, root: Oid) -> Result<Self, SourceError> {
        let mut found = Self::default();
        let (mut pending, mut seen) = (vec![(Vec::new(), root)], 0);
        while let Some((prefix, tree)) = pending.pop() {
            for (name, entry) in diff::entries(git, tree)? {
                seen += 1;
                if seen > MAX_ENTRIES {
                    return Ok(found);
                }
                let path = diff::join(&prefix, &name);
                match entry.mode {
                    TREE => pending.push((path, entry.id)),
                    GITLINK => found.submodules.push(path),
                    FILE | EXECUTABLE => {
                        found.uses_lfs |= name == b".gitattributes" && asks_for_lfs(git, entry);
                        found.files.push((path, entry));
                    }
                    _ => {}
                }
            }
        }
        found.submodules.sort();
        Ok(found)
    }

    fn pointers(&self, git: &Repository) -> Vec<Vec<u8>> {
        let is_pointer = |entry: &Entry| {
            let content = read(git, *entry, MAX_POINTER_BYTES);
            content.is_some_and(|content| content.starts_with(POINTER))
        };
        let files = self.files.iter().filter(|(_, entry)| is_pointer(entry));
        let mut paths: Vec<Vec<u8>> = files.map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths
    }
}

fn asks_for_lfs(git: &Repository, entry: Entry) -> bool {
    const DRIVER: &[u8] = b"filter=lfs";
    let content = read(git, entry, MAX_ATTRIBUTES_BYTES).unwrap_or_default();
    content.windows(DRIVER.len()).any(|window| window == DRIVER)
}

fn read(git: &Repository, entry: Entry, max: usize) -> Option<Vec<u8>> {
    let (size, _) = git.odb().ok()?.read_header(entry.id).ok()?;
    if size > max {
        return None;
    }
    Some(git.find_blob(entry.id).ok()?.content().to_vec())
}

fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

fn named(paths: &[Vec<u8>]) -> String {
    let shown = paths.iter().take(MAX_NAMED);
    let shown: Vec<String> = shown
        .map(|path| format!("`{}`", String::from_utf8_lossy(path).escape_debug()))
        .collect();
    match paths.len().saturating_sub(MAX_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
