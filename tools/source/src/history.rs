//! The history of a mirror that is cut off: whether one commit follows another, and as much more of it as tells.

use std::collections::HashSet;
use std::path::Path;

use git2::{Oid, Repository};
use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, SourceError};

use crate::transfer::Transfer;
use crate::{clone_mode, objects};

/// How many more commits are fetched, step by step, before all are.
const STEPS: [Option<u32>; 3] = [Some(16), Some(256), None];

/// Where git lists the commits whose parents are cut off.
pub(crate) const CUT_FILE: &str = "shallow";

/// What two commits are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The second one has the first one in its history.
    Follows,
    /// It has not.
    Apart,
    /// Its history is cut off before that can be seen.
    Unknown,
}

/// Sees to it that the mirror tells whether `to` follows `from`.
pub(crate) async fn settle(
    transfer: &Transfer<'_>,
    from: &str,
    to: &str,
) -> Result<(), SourceError> {
    let is_shallow = clone_mode::of(transfer.mirror) == CloneMode::Shallow;
    if !is_shallow || is_known(transfer.mirror, from, to).await? {
        return Ok(());
    }
    let limit = transfer.source.config().timeouts.fetch;
    let _held = transfer.source.locks().hold(transfer.mirror, limit).await?;
    deepen(transfer, from, to).await
}

/// The same, while the lock is held.
pub(crate) async fn deepen(
    transfer: &Transfer<'_>,
    from: &str,
    to: &str,
) -> Result<(), SourceError> {
    for more in STEPS {
        if is_known(transfer.mirror, from, to).await? {
            return Ok(());
        }
        transfer.history(to, more).await?;
    }
    Ok(())
}

async fn is_known(mirror: &Path, from: &str, to: &str) -> Result<bool, SourceError> {
    let (from, to) = (objects::id(from)?, objects::id(to)?);
    Ok(relation(mirror, from, to).await? != Relation::Unknown)
}

/// What two commits of a mirror are to each other.
pub(crate) async fn relation(mirror: &Path, from: Oid, to: Oid) -> Result<Relation, SourceError> {
    let mirror = mirror.to_owned();
    objects::blocking(move || {
        if from == to {
            return Ok(Relation::Follows);
        }
        let git = objects::open(&mirror)?;
        let broken = |error: git2::Error| objects::broken(&mirror, &error);
        let cut = cut(&mirror);
        if !cut.is_empty() {
            return walk(&git, &cut, from, to).map_err(broken);
        }
        if git.find_commit(from).is_err() {
            return Ok(Relation::Apart);
        }
        match git.graph_descendant_of(to, from).map_err(broken)? {
            true => Ok(Relation::Follows),
            false => Ok(Relation::Apart),
        }
    })
    .await
}

/// The commits whose parents are not there.
fn cut(mirror: &Path) -> HashSet<Oid> {
    let listed = std::fs::read_to_string(mirror.join(CUT_FILE)).unwrap_or_default();
    let ids = listed.lines().filter_map(|line| Oid::from_str(line).ok());
    ids.collect()
}

fn walk(git: &Repository, cut: &HashSet<Oid>, from: Oid, to: Oid) -> Result<Relation, git2::Error> {
    let (mut pending, mut seen) = (vec![to], HashSet::from([to]));
    let mut is_cut_off = false;
    while let Some(id) = pending.pop() {
        if id == from {
            return Ok(Relation::Follows);
        }
        if cut.contains(&id) {
            is_cut_off = true;
            continue;
        }
        let parents: Vec<Oid> = git.find_commit(id)?.parent_ids().collect();
        pending.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
    }
    match is_cut_off {
        true => Ok(Relation::Unknown),
        false => Ok(Relation::Apart),
    }
}

/// What a checkout of the base will not have of its history, if anything.
pub(crate) async fn notice(base: &Base) -> Result<Option<String>, SourceError> {
    if !has_earlier(base).await? {
        return Ok(None);
    }
    Ok(match clone_mode::of(&base.mirror) {
        CloneMode::Shallow => Some("the history before this commit is not fetched".to_owned()),
        CloneMode::Blobless if clone_mode::lacks_contents(&base.mirror) => {
            Some("what files held in earlier commits is not fetched".to_owned())
        }
        CloneMode::Full | CloneMode::Blobless => None,
    })
}

/// Whether there are commits before the base, be they here or not.
pub(crate) async fn has_earlier(base: &Base) -> Result<bool, SourceError> {
    let (mirror, commit) = (base.mirror.clone(), objects::id(&base.commit)?);
    objects::blocking(move || {
        let git = objects::open(&mirror)?;
        has_parents(&git, commit).map_err(|error| objects::broken(&mirror, &error))
    })
    .await
}

/// As the object has it: git2 hides those that are cut off.
fn has_parents(git: &Repository, commit: Oid) -> Result<bool, git2::Error> {
    let odb = git.odb()?;
    let object = odb.read(commit)?;
    let mut lines = object.data().split(|byte| *byte == b'\n');
    // The tree comes first, then the parents.
    Ok(lines
        .nth(1)
        .is_some_and(|line| line.starts_with(b"parent ")))
}
