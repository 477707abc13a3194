//! What the log of a run that has ended says to the one that follows it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pullwright_protocol::{
    FailureKind, Followed, FollowedConversation, KeptWork, Published, RunId,
};

use crate::agent::{Halt, LastReply};
use crate::run::past::{self, Past, Talk};
use crate::run::summary::Summary;
use crate::store::{RunRecord, RunStore};

/// What a run has left.
pub(super) struct Left {
    pub(super) followed: Followed,
    /// The work that is kept and not published.
    pub(super) patch: Option<Vec<u8>>,
}

/// Reads what `run` has left.
pub(super) fn read<'a>(
    store: &'a dyn RunStore,
    run: &'a RunId,
) -> BoxFuture<'a, Result<Left, Halt>> {
    async move {
        let past = past::read(store, run).await?;
        let patch = store.patch(run).await?;
        let messages = store.messages(run).await?;
        // Looked at afterwards: what was read is the whole.
        let RunRecord { request, .. } = still_kept(store, run).await?;
        let before = match (&past.followed, &request.follows) {
            (Some(followed), _) => Some(Left {
                followed: followed.clone(),
                patch: None,
            }),
            // It ended before it took anything over.
            (None, Some(follows)) if is_kept(store, follows).await? => {
                Some(read(store, follows).await?)
            }
            (None, _) => None,
        };
        let said = messages
            .into_iter()
            .filter(|message| !past.heard.contains(&message.number));
        let mut unheard = unheard(&past, before.as_ref(), request.prompt.clone());
        unheard.extend(said.map(|message| message.text));
        let words = words(&past, &request.prompt);
        left(run, past, patch, before, Said { unheard, words })
    }
    .boxed()
}

/// What people and the model said.
struct Said {
    unheard: Vec<String>,
    /// What the model said of what it made: a title, and after a blank line more.
    words: String,
}

async fn is_kept(store: &dyn RunStore, run: &RunId) -> Result<bool, Halt> {
    let record = store.get(run).await?;
    Ok(record.is_some_and(|record| record.retired.is_none()))
}

async fn still_kept(store: &dyn RunStore, run: &RunId) -> Result<RunRecord, Halt> {
    let record = store.get(run).await?;
    record.filter(|record| record.retired.is_none()).ok_or_else(|| {
        let message = format!(
            "run {run}, which this one follows, has left the store meanwhile, so there is nothing to go on \
             from; start a run of its own"
        );
        Halt::Failed(FailureKind::BadRequest, message)
    })
}

/// Not how the run ended: that may be an error, and says what held for the last of several commits.
fn words(past: &Past, prompt: &str) -> String {
    let last = past.talk.as_ref().and_then(|talk| talk.last.as_ref());
    let words = last.and_then(LastReply::last_words).unwrap_or_default();
    Summary::parse(&words, prompt).whole()
}

/// What was asked for and no model has heard.
fn unheard(past: &Past, before: Option<&Left>, prompt: String) -> Vec<String> {
    if past.talk.is_some() {
        return Vec::new();
    }
    let before = before.map(|before| before.followed.unheard.clone());
    let mut unheard = before.unwrap_or_default();
    unheard.push(prompt);
    unheard
}

fn left(
    run: &RunId,
    past: Past,
    patch: Option<Vec<u8>>,
    before: Option<Left>,
    said: Said,
) -> Result<Left, Halt> {
    let Some((outcome, summary)) = past.done.clone() else {
        let message =
            format!("run {run}, which this one follows, has not ended yet; say it to that one");
        return Err(Halt::Failed(FailureKind::BadRequest, message));
    };
    let (before, patch_before) = match before {
        Some(before) => (Some(before.followed), before.patch),
        None => (None, None),
    };
    let (kept, patch) = match kept(&past) {
        Some(kept) => (Some(kept), patch),
        None if past.pushed.is_some() => (None, None),
        // Only where nothing of it was taken over.
        None => match (&before, patch_before) {
            (Some(before), Some(patch)) => (before.kept.clone(), Some(patch)),
            _ => (None, None),
        },
    };
    let published = published(&past, before.as_ref(), said.words);
    let was_used = before
        .as_ref()
        .is_some_and(|before| before.is_branch_used || before.published.is_some());
    let followed = Followed {
        run: run.clone(),
        outcome,
        summary,
        unheard: said.unheard,
        target: target(&past, before.as_ref()),
        is_branch_used: was_used || past.pushed.is_some(),
        published,
        kept: kept.filter(|_| patch.is_some()),
        conversation: match past.talk {
            Some(talk) => Some(conversation(talk)),
            None => before.and_then(|before| before.conversation),
        },
    };
    Ok(Left { followed, patch })
}

/// Work that is kept and not published.
fn kept(past: &Past) -> Option<KeptWork> {
    let (tree, base) = past.kept.clone().zip(past.kept_on.clone())?;
    past.pushed.is_none().then_some(KeptWork {
        branch: base.branch,
        commit: base.commit,
        tree,
        files: past.kept_files,
    })
}

/// Whether the run worked on what the one before it had published, or ended before it knew.
fn went_on(past: &Past, before: &Followed) -> bool {
    let branch = before.published.as_ref().map(|published| &published.branch);
    past.base
        .as_ref()
        .is_none_or(|base| Some(&base.branch) == branch)
}

fn target(past: &Past, before: Option<&Followed>) -> Option<String> {
    let before = before.filter(|before| went_on(past, before));
    let known = before.and_then(|before| before.target.clone());
    known.or_else(|| past.base.as_ref().map(|base| base.branch.clone()))
}

fn published(past: &Past, before: Option<&Followed>, words: String) -> Option<Published> {
    let before = before.filter(|before| went_on(past, before));
    let before = before.and_then(|before| before.published.clone());
    let Some(pushed) = &past.pushed else {
        // It may have proposed what was pushed before.
        let proposed = |before: Published| Published {
            pr_url: past.pr_url.clone().or(before.pr_url),
            ..before
        };
        return before.map(proposed);
    };
    let (mut summaries, mut check_files, pr_url, fork) = match before {
        Some(before) => (
            before.summaries,
            before.check_files,
            before.pr_url,
            before.fork,
        ),
        None => Default::default(),
    };
    summaries.push(words);
    check_files.extend(past.check_files.iter().cloned());
    check_files.sort();
    check_files.dedup();
    Some(Published {
        branch: pushed.branch.clone(),
        commit: pushed.commit.clone(),
        fork: past
            .pushing
            .as_ref()
            .and_then(|pushing| pushing.fork.clone())
            .or(fork),
        pr_url: past.pr_url.clone().or(pr_url),
        summaries,
        before: past.before.clone(),
        check_files,
    })
}

/// The conversation, with an answer to each call.
fn conversation(talk: Talk) -> FollowedConversation {
    let mut conversation = talk.conversation;
    let interrupted = talk.last.as_ref().map(LastReply::interrupted);
    for answer in interrupted.unwrap_or_default() {
        conversation.push(&answer);
    }
    FollowedConversation {
        first: talk.first,
        last: talk.model,
        system: conversation.system().to_owned(),
        tools: conversation.tools().to_vec(),
        items: conversation.items(),
        tokens: conversation.tokens(),
    }
}
