//! Finding work again that was taken in before: after a crash, or on another machine.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, SourceError, Work};
use pullwright_protocol::{FailureKind, RunId};

use crate::git::Call;
use crate::quarantine::{self, FOLDER_PREFIX, REPOSITORY};
use crate::source::GitSource;
use crate::{clone_mode, failure, objects, run_folder};

/// What a quarantine calls the index that a patch is applied to.
const INDEX: &str = "restored-index";

pub(crate) async fn restore(
    source: &GitSource,
    run: &RunId,
    base: &Base,
    tree: Option<&str>,
    patch: &[u8],
) -> Result<Work, SourceError> {
    if let Some(tree) = tree
        && let Some(work) = from_quarantine(source, run, base, tree).await?
    {
        return Ok(work);
    }
    from_patch(source, run, base, patch).await
}

async fn from_quarantine(
    source: &GitSource,
    run: &RunId,
    base: &Base,
    tree: &str,
) -> Result<Option<Work>, SourceError> {
    let folder = run_folder::of(&source.config().data_dir, run)?;
    let wanted = objects::id(tree)?;
    let mode = clone_mode::of(&base.mirror);
    let found = objects::blocking(move || Ok(find(&folder, wanted, mode))).await?;
    let Some(repository) = found else {
        return Ok(None);
    };
    // One that was cut off may lack some of its objects.
    let judged = quarantine::judge(source, base, repository, tree.to_owned()).await;
    Ok(judged.ok())
}

/// The quarantine of the run that holds the tree, and borrows from a mirror of this mode: from another one, it would
/// not see what is fetched from now on.
fn find(run: &Path, tree: git2::Oid, mode: CloneMode) -> Option<PathBuf> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let repository = |entry: DirEntry| {
        let name = entry.file_name();
        let is_quarantine = name.to_str()?.starts_with(FOLDER_PREFIX);
        is_quarantine.then(|| entry.path().join(REPOSITORY))
    };
    entries.filter_map(repository).find(|repository| {
        let lender = quarantine::lender(repository);
        if lender.is_none_or(|lender| clone_mode::of(&lender) != mode) {
            return false;
        }
        // One that was left half-made is no repository.
        let git = objects::open(repository);
        git.is_ok_and(|git| git.find_tree(tree).is_ok())
    })
}

async fn from_patch(
    source: &GitSource,
    run: &RunId,
    base: &Base,
    patch: &[u8],
) -> Result<Work, SourceError> {
    let folder = quarantine::claim(source, run)?;
    let made = async {
        let repository = quarantine::repository(source, base, &folder).await?;
        let tree = apply(source, base, &repository, patch).await?;
        quarantine::judge(source, base, repository, tree).await
    };
    let made = made.await;
    if made.is_err() {
        let _ = fs::remove_dir_all(&folder);
    }
    made
}

/// Applies the patch to an index, never to files, and answers the tree it makes.
async fn apply(
    source: &GitSource,
    base: &Base,
    repository: &Path,
    patch: &[u8],
) -> Result<String, SourceError> {
    let index = repository.join(INDEX);
    let on_index = |args: &[&str]| {
        Call::local(source.config(), args.iter().copied())
            .git_dir(repository)
            .env("GIT_INDEX_FILE", &index)
    };
    let base_index = on_index(&["read-tree", &base.tree]);
    source.local(base_index, "reading the base").await?;
    if !patch.is_empty() {
        let apply = on_index(&["apply", "--cached", "--whitespace=nowarn", "-"]);
        let output = apply.bytes(patch).untrusted().run(source.config()).await?;
        if !output.success {
            return Err(SourceError::new(
                FailureKind::Internal,
                format!(
                    "the kept patch does not fit its base; git said: {}",
                    failure::last_words(&output.stderr)
                ),
            ));
        }
    }
    let tree = source.local(on_index(&["write-tree"]), "writing the tree");
    let tree = String::from_utf8_lossy(&tree.await?).trim().to_owned();
    let _ = fs::remove_file(&index);
    Ok(tree)
}
