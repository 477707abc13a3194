//! Bringing work onto another commit: a three-way merge of trees in the quarantine, in which no file is written
//! and no merge driver runs.

use std::collections::BTreeMap;

use git2::{MergeOptions, Oid, Repository};
use pullwright_core::source::{Base, Brought, SourceError, Work};
use pullwright_protocol::FailureKind;

use crate::diff::{self, Change};
use crate::history::{self, Relation};
use crate::source::GitSource;
use crate::{objects, quarantine};

/// Against files whose merge takes for ever: larger ones that both sides changed are in the way, in bytes.
const MAX_MERGED_BYTES: usize = 4 << 20;

/// Against a comparison of everything with everything when renames are looked for.
const MAX_RENAMES: u32 = 200;

/// The three trees of a merge.
#[derive(Clone, Copy)]
struct Trees {
    base: Oid,
    work: Oid,
    onto: Oid,
}

pub(crate) async fn bring_onto(
    source: &GitSource,
    base: &Base,
    work: &Work,
    onto: &Base,
) -> Result<Brought, SourceError> {
    if base.mirror != onto.mirror {
        return Err(SourceError::new(
            FailureKind::Internal,
            format!(
                "{} of `{}` and {} of `{}` are not in one mirror",
                base.commit, base.repository.url, onto.commit, onto.repository.url
            ),
        ));
    }
    let quarantine = work.quarantine.clone();
    let trees = Trees {
        base: objects::id(&base.tree)?,
        work: objects::id(&work.tree)?,
        onto: objects::id(&onto.tree)?,
    };
    let (from, to) = (objects::id(&base.commit)?, objects::id(&onto.commit)?);
    let follows = match history::relation(&base.mirror, from, to).await? {
        Relation::Follows => Some(true),
        Relation::Apart => Some(false),
        Relation::Unknown => None,
    };
    let merged = objects::blocking(move || merge(&objects::open(&quarantine)?, trees)).await?;
    let work = match merged {
        Ok(tree) => {
            let judged = quarantine::judge(source, onto, work.quarantine.clone(), tree.to_string());
            Ok(judged.await?)
        }
        Err(paths) => Err(paths),
    };
    Ok(Brought { follows, work })
}

/// The merged tree, or the paths that are in the way.
fn merge(git: &Repository, trees: Trees) -> Result<Result<Oid, Vec<String>>, SourceError> {
    let too_large = too_large(git, trees)?;
    if !too_large.is_empty() {
        return Ok(Err(too_large));
    }
    let merging = || {
        let mut options = MergeOptions::new();
        options.find_renames(true).target_limit(MAX_RENAMES);
        let [base, work, onto] = [trees.base, trees.work, trees.onto].map(|id| git.find_tree(id));
        let mut index = git.merge_trees(&base?, &onto?, &work?, Some(&options))?;
        if !index.has_conflicts() {
            return index.write_tree_to(git).map(Ok);
        }
        let mut paths = Vec::new();
        for conflict in index.conflicts()? {
            let conflict = conflict?;
            let sides = [conflict.our, conflict.their, conflict.ancestor];
            let entry = sides.into_iter().flatten().next();
            paths.extend(entry.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()));
        }
        paths.sort_unstable();
        paths.dedup();
        Ok(Err(paths))
    };
    merging().map_err(|error: git2::Error| objects::broken(git.path(), &error))
}

/// The files that both sides changed to something else, and that are too large to be merged.
fn too_large(git: &Repository, trees: Trees) -> Result<Vec<String>, SourceError> {
    let by_path = |changes: Vec<Change>| -> BTreeMap<Vec<u8>, Change> {
        let entries = changes
            .into_iter()
            .map(|change| (change.path.clone(), change));
        entries.collect()
    };
    let ours = diff::trees(git, trees.base, trees.work)?;
    let theirs = by_path(diff::trees(git, trees.base, trees.onto)?);
    let odb = git
        .odb()
        .map_err(|error| objects::broken(git.path(), &error))?;
    let is_large = |change: &Change| {
        let sides = [change.old, change.new].into_iter().flatten();
        let mut sizes = sides.filter_map(|entry| odb.read_header(entry.id).ok());
        sizes.any(|(size, _)| size > MAX_MERGED_BYTES)
    };
    let is_in_the_way = |ours: &&Change| {
        let theirs = theirs
            .get(&ours.path)
            .filter(|theirs| theirs.new != ours.new);
        theirs.is_some_and(|theirs| is_large(ours) || is_large(theirs))
    };
    Ok(ours
        .iter()
        .filter(is_in_the_way)
        .map(Change::shown)
        .collect())
}
