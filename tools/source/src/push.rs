//! Pushing: one commit of our own on top of the base, to a branch that must not exist yet, or that must
//! still be where the work began.
//!
//! A retry is safe: a branch that already holds this tree on this base is taken for ours.

use std::time::{SystemTime, UNIX_EPOCH};

use git2::{Commit, Oid, Signature, Time};
use pullwright_core::source::{Push, Pushed, SourceError, Tip};
use pullwright_protocol::FailureKind;

use crate::config::Identity;
use crate::cut_push;
use crate::failure::{self, Doing};
use crate::git::Call;
use crate::message;
use crate::objects;
use crate::refname;
use crate::remote::Remote;
use crate::source::GitSource;

/// Where the remote's branch is fetched to when it already exists.
pub(crate) const TAKEN_REF: &str = "refs/pullwright/taken";
/// Where our commit is kept.
const OWN_REF: &str = "refs/pullwright/own";

pub(crate) async fn push(source: &GitSource, push: Push<'_>) -> Result<Pushed, SourceError> {
    check(&push)?;
    let remote = remote(source, &push).await?;
    let expected = match look(source, &remote, &push).await? {
        Tip::Ours(pushed) => return Ok(pushed),
        Tip::At(commit) => commit,
        Tip::Absent => String::new(),
    };
    let commit = commit(source, &push).await?;
    match send(source, &remote, &push, &commit, &expected).await? {
        None => Ok(pushed(&push, commit)),
        Some(Tip::Ours(pushed)) => Ok(pushed),
        Some(_) => Err(moves(&remote, &push)),
    }
}

/// The repository that is pushed to.
pub(crate) async fn remote<'a>(
    source: &'a GitSource,
    push: &Push<'a>,
) -> Result<Remote<'a>, SourceError> {
    let repository = push.to.unwrap_or(&push.base.repository);
    source.remote(repository, push.credential).await
}

/// Pushes a commit to the branch, or removes the branch where that is empty, if it is where it is expected to be.
/// Answers what the branch is instead, where somebody, perhaps an earlier attempt of ours, was there between question
/// and push.
pub(crate) async fn send(
    source: &GitSource,
    remote: &Remote<'_>,
    push: &Push<'_>,
    commit: &str,
    expected: &str,
) -> Result<Option<Tip>, SourceError> {
    // A removal sends no history that could be cut off or lack something.
    let is_removal = commit.is_empty();
    if !is_removal {
        cut_push::cut_off(push)?;
    }
    let mut said = try_to_send(source, remote, push, commit, expected).await?;
    let is_refused = |said: &String| !is_removal && cut_push::is_refused(push, said);
    if said.as_ref().is_some_and(is_refused) {
        cut_push::fill(source, remote, push, commit).await?;
        said = try_to_send(source, remote, push, commit, expected).await?;
    }
    let Some(said) = said else {
        return Ok(None);
    };
    if said.contains("stale info") || said.contains("already exists") {
        let found = look(source, remote, push).await?;
        let is_other = match found {
            Tip::Ours(_) => true,
            Tip::At(ref commit) => commit != expected,
            Tip::Absent => is_removal || !expected.is_empty(),
        };
        if is_other {
            return Ok(Some(found));
        }
    }
    let doing = Doing::Pushing(push.branch);
    Err(failure::explain(
        doing,
        &remote.url,
        remote.has_credential(),
        &said,
    ))
}

/// Pushes the commit, and answers what git said where that failed.
async fn try_to_send(
    source: &GitSource,
    remote: &Remote<'_>,
    push: &Push<'_>,
    commit: &str,
    expected: &str,
) -> Result<Option<String>, SourceError> {
    let output = remote
        .try_run(command(source, remote, push, commit, expected))
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok((!output.success).then(|| format!("{}\n{said}", output.stderr)))
}

pub(crate) fn check(push: &Push<'_>) -> Result<(), SourceError> {
    refname::check(push.branch)?;
    let refuse = |why: String| Err(SourceError::new(FailureKind::Push, why));
    if push.branch == push.base.branch && !push.grows {
        return refuse(format!(
            "`{}` is the base branch, which is never pushed to; choose another `branch`",
            push.branch
        ));
    }
    let moved = push.moved.map(|moved| moved.work);
    let mut refusals = [Some(push.work), moved]
        .into_iter()
        .flatten()
        .flat_map(|work| &work.refusals);
    if let Some(first) = refusals.next() {
        return refuse(format!("the work must not be pushed: {first}"));
    }
    if push.grows && push.moved.is_some() {
        return refuse(format!(
            "`{}` grows where it is, and is not moved",
            push.branch
        ));
    }
    if push.work.tree == push.base.tree || push.moved.is_some_and(|moved| moved.work.is_empty()) {
        return refuse("nothing changed, so there is nothing to push".into());
    }
    if message::suited(push.message).is_empty() {
        return refuse("the commit message is empty".into());
    }
    Ok(())
}

/// Looks at the branch at the remote; an error if it has other work than the push expects.
pub(crate) async fn look(
    source: &GitSource,
    remote: &Remote<'_>,
    push: &Push<'_>,
) -> Result<Tip, SourceError> {
    let name = format!("refs/heads/{}", push.branch);
    let timeouts = source.config().timeouts;
    let ask = Call::new(timeouts.ask, ["ls-remote", "--", &remote.url, &name]);
    let output = remote.run(ask, Doing::Pushing(push.branch)).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tip = text.lines().find_map(|line| {
        let (commit, found) = line.split_once('\t')?;
        (found == name).then_some(commit)
    });
    let parent = Shape::of(push)?.parent.to_string();
    let may_be_at =
        |tip: &str| (push.grows && tip == parent) || push.begun_at.iter().any(|begun| begun == tip);
    match tip {
        None if push.grows => return Err(not_there(&remote.url, push)),
        None => return Ok(Tip::Absent),
        Some(tip) if may_be_at(tip) => return Ok(Tip::At(tip.to_owned())),
        Some(_) => {}
    }
    let refspec = format!("+{name}:{TAKEN_REF}");
    let (options, config) = cut_push::look_options(push);
    let args = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
    ];
    let args = args.iter().chain(options).copied();
    let fetch = Call::new(timeouts.push, args.chain(["--", &remote.url, &refspec]))
        .git_dir(&push.work.quarantine)
        .config(config.iter().copied())
        .growth(&push.work.quarantine, source.config().max_clone_bytes);
    remote.run(fetch, Doing::Pushing(push.branch)).await?;
    match same_work(push).await? {
        Some(commit) => Ok(Tip::Ours(pushed(push, commit))),
        None => Err(other_work(remote, push)),
    }
}

pub(crate) fn not_there(url: &str, push: &Push<'_>) -> SourceError {
    let message = format!(
        "`{url}` has no branch `{}` any more: somebody deleted it after this run began; the work is kept as a \
         patch, and a message to this run has it done on a branch of its own",
        push.branch
    );
    SourceError::new(FailureKind::Push, message)
}

/// The branch came, went or moved between question and push.
pub(crate) fn moves(remote: &Remote<'_>, push: &Push<'_>) -> SourceError {
    let message = format!(
        "branch `{}` of `{}` was changed by somebody at the same moment; try again",
        push.branch, remote.url
    );
    SourceError::new(FailureKind::Push, message).passing(true)
}

fn other_work(remote: &Remote<'_>, push: &Push<'_>) -> SourceError {
    let (url, branch) = (&remote.url, push.branch);
    let message = match push.grows {
        true => format!(
            "somebody pushed to branch `{branch}` of `{url}` after this run began, and that is left alone; \
             the work is kept as a patch, and a message to this run has it put on top of what was pushed"
        ),
        false => format!(
            "`{url}` already has a branch `{branch}` with other work, which is left alone; choose \
             another `branch` or delete it"
        ),
    };
    SourceError::new(FailureKind::Push, message)
}

/// The fetched commit, if it is this work on this base.
async fn same_work(push: &Push<'_>) -> Result<Option<String>, SourceError> {
    let quarantine = push.work.quarantine.clone();
    let shape = Shape::of(push)?;
    objects::blocking(move || {
        let git = objects::open(&quarantine)?;
        let found = objects::find_ref(&git, TAKEN_REF)
            .map_err(|error| objects::broken(&quarantine, &error))?;
        Ok(found
            .filter(|commit| shape.fits(commit))
            .map(|commit| commit.id().to_string()))
    })
    .await
}

/// Makes the commit in the quarantine, and the merge on top of it where there is one.
async fn commit(source: &GitSource, push: &Push<'_>) -> Result<String, SourceError> {
    let quarantine = push.work.quarantine.clone();
    let shape = Shape::of(push)?;
    let message = format!("{}\n", message::suited(push.message));
    let merge_message = format!("Merge branch '{}'\n", push.base.branch);
    let identity = source.config().identity.clone();
    objects::blocking(move || {
        let git = objects::open(&quarantine)?;
        let make = || {
            let signature = signature(&identity)?;
            let commit = |message: &str, tree: Oid, parents: &[Oid]| {
                let tree = git.find_tree(tree)?;
                let parents: Vec<Commit<'_>> = parents
                    .iter()
                    .map(|parent| git.find_commit(*parent))
                    .collect::<Result<_, _>>()?;
                let parents: Vec<&Commit<'_>> = parents.iter().collect();
                git.commit(None, &signature, &signature, message, &tree, &parents)
            };
            let mut id = commit(&message, shape.tree, &[shape.parent])?;
            if let Some(merge) = shape.merge {
                id = commit(&merge_message, merge.tree, &[id, merge.with])?;
            }
            git.reference(OWN_REF, id, true, "")?;
            Ok(id.to_string())
        };
        make().map_err(|error| objects::broken(&quarantine, &error))
    })
    .await
}

/// What is pushed: a commit, and perhaps one that merges another one into it.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    tree: Oid,
    pub(crate) parent: Oid,
    merge: Option<Merge>,
}

#[derive(Clone, Copy)]
struct Merge {
    tree: Oid,
    with: Oid,
}

impl Shape {
    pub(crate) fn of(push: &Push<'_>) -> Result<Self, SourceError> {
        let (work, base) = match push.moved {
            Some(moved) if !moved.merges => (moved.work, moved.onto),
            _ => (push.work, push.base),
        };
        let merge = match push.moved {
            Some(moved) if moved.merges => Some(Merge {
                tree: objects::id(&moved.work.tree)?,
                with: objects::id(&moved.onto.commit)?,
            }),
            _ => None,
        };
        Ok(Self {
            tree: objects::id(&work.tree)?,
            parent: objects::id(&base.commit)?,
            merge,
        })
    }

    /// Whether the commit is of this shape, whoever made it and when.
    fn fits(&self, commit: &Commit<'_>) -> bool {
        let Some(merge) = &self.merge else {
            return commit.tree_id() == self.tree && commit.parent_ids().eq([self.parent]);
        };
        let own = Self {
            merge: None,
            ..*self
        };
        commit.tree_id() == merge.tree
            && commit.parent_count() == 2
            && commit.parent_id(1).is_ok_and(|with| with == merge.with)
            && commit.parent(0).is_ok_and(|first| own.fits(&first))
    }
}

fn signature(identity: &Identity) -> Result<Signature<'static>, git2::Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let now = Time::new(i64::try_from(now).unwrap_or(i64::MAX), 0);
    Signature::new(&identity.name, &identity.email, &now)
}

/// The push of a commit, or of none, which removes the branch.
fn command(
    source: &GitSource,
    remote: &Remote<'_>,
    push: &Push<'_>,
    commit: &str,
    expected: &str,
) -> Call {
    let lease = format!("--force-with-lease=refs/heads/{}:{expected}", push.branch);
    let refspec = format!("{commit}:refs/heads/{}", push.branch);
    let args = [
        "push",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--recurse-submodules=no",
        "--no-signed",
        &lease,
        "--",
        &remote.url,
        &refspec,
    ];
    Call::new(source.config().timeouts.push, args).git_dir(&push.work.quarantine)
}

fn pushed(push: &Push<'_>, commit: String) -> Pushed {
    Pushed {
        branch: push.branch.to_owned(),
        commit,
    }
}
