//! Opening the workspace's repository, whatever became of it.

use std::path::{Component, Path, PathBuf};

use git2::{ErrorClass, ErrorCode, Repository, RepositoryOpenFlags};
use pullwright_tool_kit::Refusal;

/// Opens the repository at `root`, and no other.
pub(crate) fn open(root: &Path) -> Result<Repository, Refusal> {
    let repository = Repository::open_ext(root, RepositoryOpenFlags::NO_SEARCH, [] as [&Path; 0])
        .map_err(|error| {
        Refusal::new(format!(
            "{} is not a usable git repository: {}; was `.git` removed or damaged?",
            root.display(),
            error.message()
        ))
    })?;
    let same = |folder: &Path| folder.canonicalize().ok() == root.canonicalize().ok();
    if !repository.workdir().is_some_and(same) {
        return Err(Refusal::new(
            "the repository's working tree is not the workspace; remove `core.worktree` and `core.bare` from .git/config",
        ));
    }
    Ok(repository)
}

/// Says what was tried when the git library failed.
pub(crate) fn failed(what: &str) -> impl FnOnce(git2::Error) -> Refusal {
    move |error| {
        let is_absent = error.class() == ErrorClass::Odb && error.code() == ErrorCode::NotFound;
        let hint = match is_absent {
            true => "; this repository may be without what files held in earlier commits",
            false => "",
        };
        Refusal::new(format!("cannot {what}: {}{hint}", error.message()))
    }
}

/// A path of the model's as git writes it: relative to the root, without `.` and `..`.
pub(crate) fn repository_path(root: &Path, path: &str) -> Result<PathBuf, Refusal> {
    let given = Path::new(path);
    let relative = given.strip_prefix(root).unwrap_or(given);
    let mut clean = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            _ => {
                return Err(Refusal::new(format!(
                    "{path} is outside the repository; give a path relative to its root"
                )));
            }
        }
    }
    Ok(clean)
}
