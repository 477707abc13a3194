//! Commits that the code host makes: the change as files, a branch to put them on, and a look at what came of it.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use git2::Repository;
use pullwright_core::source::{HostedChange, Push, Pushed, SourceError, Tip, Unfit};
use pullwright_protocol::FailureKind;
use pullwright_protocol::forge::AddedFile;

use crate::diff::{self, Change, EXECUTABLE, GITLINK, SYMLINK};
use crate::known_secret::Finder;
use crate::push::{self, Shape, TAKEN_REF};
use crate::source::GitSource;
use crate::{message, objects};

/// Contents and paths of a change. In base64, as a message to a tool server, they must stay below 16 MiB.
const MAX_BYTES: usize = MAX_MIB << 20;
const MAX_MIB: usize = 10;

/// Against a request that its host does not get done in time.
const MAX_FILES: usize = 1000;

pub(crate) async fn as_files(
    source: &GitSource,
    push: Push<'_>,
) -> Result<Result<HostedChange, Unfit>, SourceError> {
    push::check(&push)?;
    let (work, onto) = match push.moved {
        Some(moved) if moved.merges => return Ok(Err(Unfit::Merge)),
        Some(moved) => (moved.work, moved.onto),
        None => (push.work, push.base),
    };
    let message = message::suited(push.message);
    let (title, body) = message.split_once('\n').unwrap_or((&message, ""));
    let (title, body) = (title.to_owned(), body.trim_start_matches('\n').to_owned());
    let quarantine = work.quarantine.clone();
    let (old, new) = (objects::id(&onto.tree)?, objects::id(&work.tree)?);
    let (finder, parent) = (source.finder(), onto.commit.clone());
    objects::blocking(move || {
        let git = objects::open(&quarantine)?;
        let changes = diff::trees(&git, old, new)?;
        if let Some(unfit) = unfit(&changes, &finder) {
            return Ok(Err(unfit));
        }
        Ok(additions(&git, &changes)?.map(|additions| HostedChange {
            parent,
            title,
            body,
            additions,
            deletions: deletions(&changes),
        }))
    })
    .await
}

pub(crate) async fn look(source: &GitSource, push: Push<'_>) -> Result<Tip, SourceError> {
    push::check(&push)?;
    let remote = push::remote(source, &push).await?;
    push::look(source, &remote, &push).await
}

pub(crate) async fn begin(source: &GitSource, push: Push<'_>) -> Result<Tip, SourceError> {
    push::check(&push)?;
    let remote = push::remote(source, &push).await?;
    let parent = Shape::of(&push)?.parent.to_string();
    let expected = match push::look(source, &remote, &push).await? {
        Tip::Absent => String::new(),
        Tip::At(commit) if commit != parent => commit,
        found => return Ok(found),
    };
    match push::send(source, &remote, &push, &parent, &expected).await? {
        None => Ok(Tip::At(parent)),
        Some(Tip::At(commit)) if commit != parent => Err(push::moves(&remote, &push)),
        Some(found) => Ok(found),
    }
}

pub(crate) async fn made(
    source: &GitSource,
    push: Push<'_>,
    commit: &str,
) -> Result<Result<Pushed, String>, SourceError> {
    let found = look(source, push).await;
    let url = &push.to.unwrap_or(&push.base.repository).url;
    let branch = push.branch;
    match found {
        Ok(Tip::Ours(pushed)) => Ok(Ok(pushed)),
        Ok(Tip::At(_)) => {
            let message = format!(
                "branch `{branch}` of `{url}` does not show the commit {commit} yet, which its API says that it has \
                 made; try again later"
            );
            Err(SourceError::new(FailureKind::Push, message).passing(true))
        }
        Ok(Tip::Absent) => Err(push::not_there(url, &push)),
        Err(error) => match other_files(&push, commit).await? {
            Some(tree) => Ok(Err(mismatch(&push, &tree))),
            None => Err(error),
        },
    }
}

/// The branch is removed only where it still is where it was made.
pub(crate) async fn take_back(source: &GitSource, push: Push<'_>) -> Result<(), SourceError> {
    let remote = push::remote(source, &push).await?;
    let expected = match push::look(source, &remote, &push).await? {
        Tip::Absent => return Ok(()),
        Tip::At(commit) => commit,
        Tip::Ours(pushed) => return Err(has_the_work(&pushed)),
    };
    match push::send(source, &remote, &push, "", &expected).await? {
        None | Some(Tip::Absent) => Ok(()),
        Some(Tip::Ours(pushed)) => Err(has_the_work(&pushed)),
        Some(Tip::At(_)) => Err(push::moves(&remote, &push)),
    }
}

fn has_the_work(pushed: &Pushed) -> SourceError {
    let message = format!(
        "branch `{}` has the work on it, in commit {}",
        pushed.branch, pushed.commit
    );
    SourceError::new(FailureKind::Push, message)
}

/// What no code host writes as it is. What an executable file becomes there is not known, so none is tried.
fn unfit(changes: &[Change], finder: &Finder) -> Option<Unfit> {
    let shown = |change: &Change| finder.redact(&change.shown());
    let first = changes.iter().find_map(|change| {
        let had = |mode| change.old.is_some_and(|old| old.mode == mode);
        let has = |mode| change.new.is_some_and(|new| new.mode == mode);
        let is_gone = change.new.is_none();
        match change {
            _ if had(GITLINK) || has(GITLINK) => Some(Unfit::Submodule(shown(change))),
            _ if std::str::from_utf8(&change.path).is_err() => Some(Unfit::Path(shown(change))),
            _ if is_gone => None,
            _ if had(SYMLINK) || has(SYMLINK) => Some(Unfit::Symlink(shown(change))),
            _ if had(EXECUTABLE) || has(EXECUTABLE) => Some(Unfit::Executable(shown(change))),
            _ => None,
        }
    });
    let too_many = (changes.len() > MAX_FILES).then_some(Unfit::Files {
        files: changes.len(),
        most: MAX_FILES,
    });
    let swap = || swapped(changes).map(|change| Unfit::Swapped(shown(change)));
    first.or_else(swap).or(too_many)
}

/// What is in a folder in whose place a file was, or was in one in whose place a file is put.
fn swapped(changes: &[Change]) -> Option<&Change> {
    let paths = |are_gone: bool| -> HashSet<&[u8]> {
        let those = changes.iter();
        let those = those.filter(|change| change.new.is_none() == are_gone);
        those.map(|change| change.path.as_slice()).collect()
    };
    let (gone, there) = (paths(true), paths(false));
    changes.iter().find(|change| {
        let others = match change.new {
            Some(_) => &gone,
            None => &there,
        };
        folders(&change.path).any(|folder| others.contains(folder))
    })
}

/// The folders that a path is in.
fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(move |(at, _)| &path[..at])
}

fn additions(
    git: &Repository,
    changes: &[Change],
) -> Result<Result<Vec<AddedFile>, Unfit>, SourceError> {
    let broken = |error: git2::Error| objects::broken(git.path(), &error);
    let odb = git.odb().map_err(broken)?;
    let mut left = MAX_BYTES;
    let mut additions = Vec::new();
    for change in changes {
        let path = change.shown();
        let size = match change.new {
            Some(new) => odb.read_header(new.id).map_err(broken)?.0,
            None => 0,
        };
        let Some(rest) = left.checked_sub(size.saturating_add(path.len())) else {
            let most_mib = MAX_MIB as u64;
            return Ok(Err(Unfit::Size { most_mib }));
        };
        left = rest;
        if let Some(new) = change.new {
            let blob = git.find_blob(new.id).map_err(broken)?;
            let contents = STANDARD.encode(blob.content());
            additions.push(AddedFile { path, contents });
        }
    }
    Ok(Ok(additions))
}

fn deletions(changes: &[Change]) -> Vec<String> {
    let gone = changes.iter().filter(|change| change.new.is_none());
    gone.map(Change::shown).collect()
}

/// The tree of `commit`, if that is what was found at the branch.
async fn other_files(push: &Push<'_>, commit: &str) -> Result<Option<String>, SourceError> {
    let quarantine = push.work.quarantine.clone();
    let commit = commit.to_owned();
    objects::blocking(move || {
        let git = objects::open(&quarantine)?;
        let found = objects::find_ref(&git, TAKEN_REF)
            .map_err(|error| objects::broken(&quarantine, &error))?;
        let found = found.filter(|found| found.id().to_string() == commit);
        Ok(found.map(|found| found.tree_id().to_string()))
    })
    .await
}

fn mismatch(push: &Push<'_>, tree: &str) -> String {
    let checked = &push.moved.map_or(push.work, |moved| moved.work).tree;
    match tree == checked {
        true => "its parent is another one".to_owned(),
        false => format!("its files are {tree} and not {checked}"),
    }
}
