//! What is not forbidden and worth a look: files that are not text, and files that nobody wrote.

use std::path::Path;

use git2::{Oid, Repository};
use pullwright_core::source::SourceError;

use super::content::{is_binary, small_blob};
use crate::diff::{Change, EXECUTABLE, FILE};

/// Folders of what tools install, build or remember.
const FOLDERS: &[&str] = &[
    "node_modules",
    "bower_components",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    ".gradle",
    ".next",
    ".nuxt",
    ".idea",
    ".vs",
    ".vscode",
    "target",
    "dist",
    "build",
    "out",
    "coverage",
];
/// Files of the same kind, by their whole name.
const NAMES: &[&str] = &[
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "npm-debug.log",
    ".coverage",
];
/// And by how their name ends.
const ENDINGS: &[&str] = &[
    ".orig", ".rej", ".swp", ".swo", "~", ".bak", ".pyc", ".pyo", ".class", ".o", ".min.js",
    ".min.css",
];
/// A lock file, and the file that it belongs to.
const LOCKS: &[(&str, &str)] = &[
    ("package-lock.json", "package.json"),
    ("npm-shrinkwrap.json", "package.json"),
    ("yarn.lock", "package.json"),
    ("pnpm-lock.yaml", "package.json"),
    ("bun.lock", "package.json"),
    ("bun.lockb", "package.json"),
    ("Cargo.lock", "Cargo.toml"),
    ("poetry.lock", "pyproject.toml"),
    ("uv.lock", "pyproject.toml"),
    ("pdm.lock", "pyproject.toml"),
    ("Pipfile.lock", "Pipfile"),
    ("composer.lock", "composer.json"),
    ("Gemfile.lock", "Gemfile"),
    ("go.sum", "go.mod"),
];
/// Code of a larger file in longer lines is written by a program, in bytes.
const MINIFIED_BYTES: usize = 20_000;
const MINIFIED_LINE_BYTES: usize = 5_000;
/// A larger file is not read for this.
const MAX_READ_BYTES: usize = 4 << 20;

/// Whether a changed file is not text.
pub(super) fn is_not_text(git: &Repository, change: &Change) -> Result<bool, SourceError> {
    let Some(new) = file(change) else {
        return Ok(false);
    };
    // A larger one is hardly written by hand either.
    let content = small_blob(git, new, super::content::MAX_PROBED_BYTES)?;
    Ok(content.is_none_or(|content| is_binary(&content)))
}

/// What a new file looks like, if nobody wrote it.
pub(super) fn noise(
    git: &Repository,
    old: Oid,
    new: Oid,
    change: &Change,
) -> Result<Option<String>, SourceError> {
    if change.old.is_some() || file(change).is_none() {
        return Ok(None);
    }
    let shown = change.shown();
    let name = shown.rsplit('/').next().unwrap_or_default();
    if let Some(folder) = new_folder(git, old, &shown) {
        return Ok(Some(format!("in a new folder `{folder}`")));
    }
    if NAMES.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return Ok(Some("by its name".to_owned()));
    }
    if let Some((_, manifest)) = LOCKS.iter().find(|(lock, _)| *lock == name) {
        let beside = Path::new(&shown).with_file_name(manifest);
        return Ok((!has(git, new, &beside)).then(|| format!("a lock file without `{manifest}`")));
    }
    Ok(is_minified(git, change, name)?.then(|| "minified code".to_owned()))
}

fn file(change: &Change) -> Option<crate::diff::Entry> {
    change
        .new
        .filter(|new| matches!(new.mode, FILE | EXECUTABLE))
}

/// The folder of such a name that the path is in, and that the base has not: some repositories keep theirs.
fn new_folder(git: &Repository, old: Oid, path: &str) -> Option<&'static str> {
    let mut above = String::new();
    let (folders, _) = path.rsplit_once('/')?;
    for part in folders.split('/') {
        above.push_str(part);
        if let Some(known) = FOLDERS.iter().find(|known| **known == part)
            && !has(git, old, Path::new(&above))
        {
            return Some(known);
        }
        above.push('/');
    }
    None
}

fn has(git: &Repository, tree: Oid, path: &Path) -> bool {
    let tree = git.find_tree(tree);
    tree.is_ok_and(|tree| tree.get_path(path).is_ok())
}

fn is_minified(git: &Repository, change: &Change, name: &str) -> Result<bool, SourceError> {
    let is_code = [".js", ".mjs", ".css"]
        .iter()
        .any(|end| name.ends_with(end));
    let Some(new) = change.new.filter(|_| is_code) else {
        return Ok(false);
    };
    let Some(content) = small_blob(git, new, MAX_READ_BYTES)? else {
        return Ok(true);
    };
    let longest = content.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    Ok(content.len() > MINIFIED_BYTES && longest > Some(MINIFIED_LINE_BYTES))
}
