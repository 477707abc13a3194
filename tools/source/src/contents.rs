//! The contents of a base commit's files in a mirror that has those of no other commit: fetched at once and before
//! anybody reads them, so that nothing is ever looked for at the remote later on.

use std::collections::HashSet;
use std::path::Path;

use git2::{ObjectType, OdbLookupFlags, Oid, Repository};
use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, SourceError};
use pullwright_protocol::FailureKind;

use crate::bundle::unsound;
use crate::transfer::Transfer;
use crate::{clone_mode, kept_pack, objects};

/// Sees to it that all files of the base can be read.
pub(crate) async fn complete(transfer: &Transfer<'_>, base: &Base) -> Result<(), SourceError> {
    // A kept pack holds all of them, so the mirror has had them.
    let is_complete =
        clone_mode::of(&base.mirror) != CloneMode::Blobless || kept_pack::is_kept(base);
    if is_complete || missing(base).await?.is_empty() {
        return Ok(());
    }
    let limit = transfer.source.config().timeouts.fetch;
    let _held = transfer.source.locks().hold(transfer.mirror, limit).await?;
    let wanted = missing(base).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    transfer.contents(&wanted).await?;
    match missing(base).await?.len() {
        0 => Ok(()),
        count => Err(SourceError::new(
            FailureKind::Clone,
            format!(
                "`{}` did not send the contents of {count} files of commit {}",
                transfer.remote.url, base.commit
            ),
        )),
    }
}

/// An error unless all files of the base can be read.
pub(crate) async fn check(base: &Base) -> Result<(), SourceError> {
    match missing(base).await?.first() {
        None => Ok(()),
        Some(id) => Err(SourceError::new(
            FailureKind::Internal,
            format!(
                "the mirror `{}` lacks a file of its base commit: missing blob {id}",
                base.mirror.display()
            ),
        )),
    }
}

/// An error if the work takes over a folder as it was in an earlier commit, and leaves out the files in it that are
/// not here.
pub(crate) async fn check_work(
    base: &Base,
    quarantine: &Path,
    tree: &str,
) -> Result<(), SourceError> {
    if clone_mode::of(&base.mirror) != CloneMode::Blobless {
        return Ok(());
    }
    match missing_in(quarantine, tree).await?.first() {
        None => Ok(()),
        Some(id) => Err(unsound(&format!("it leaves out the content {id}"))),
    }
}

/// The contents of the base's files that are not in its mirror, each once.
async fn missing(base: &Base) -> Result<Vec<Oid>, SourceError> {
    missing_in(&base.mirror, &base.tree).await
}

async fn missing_in(repository: &Path, tree: &str) -> Result<Vec<Oid>, SourceError> {
    let (repository, tree) = (repository.to_owned(), objects::id(tree)?);
    objects::blocking(move || {
        let git = objects::open(&repository)?;
        of_tree(&git, tree).map_err(|error| objects::broken(&repository, &error))
    })
    .await
}

fn of_tree(git: &Repository, root: Oid) -> Result<Vec<Oid>, git2::Error> {
    let odb = git.odb()?;
    let (mut pending, mut seen) = (vec![root], HashSet::from([root]));
    let mut missing = Vec::new();
    while let Some(tree) = pending.pop() {
        for entry in &git.find_tree(tree)? {
            if !seen.insert(entry.id()) {
                continue;
            }
            match entry.kind() {
                Some(ObjectType::Tree) => pending.push(entry.id()),
                // One after the other would look for new packs each time.
                Some(ObjectType::Blob)
                    if !odb.exists_ext(entry.id(), OdbLookupFlags::NO_REFRESH) =>
                {
                    missing.push(entry.id());
                }
                _ => {}
            }
        }
    }
    Ok(missing)
}
