//! What a model is told that goes on with a change.

use pullwright_protocol::{Followed, Outcome, Published};

use crate::agent::SAYS_NOW;
use crate::run::prepare::short;
use crate::source::Base;

/// Where the work goes on.
pub(super) enum Place {
    /// On the branch that holds the change.
    Branch {
        published: Published,
        /// Whether somebody has pushed to it since.
        has_moved: bool,
    },
    /// On the branch that changes are proposed to, since what was published cannot be gone on with.
    Anew {
        /// Why not.
        gone: String,
    },
    /// On the branch that the change is proposed to: nothing was published.
    Base,
}

/// How much of the work that was not pushed the working tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpushed {
    /// There was none.
    Nothing,
    Whole,
    /// Files that were too large to keep are missing.
    InPart,
    /// It does not fit the files as they are now.
    LeftOut,
}

/// Asks for an end that suits a commit on top of others.
const HOW_TO_END: &str = "\
Processes that you had started, and files outside of the working tree, are gone. When you are done, end as \
before: with a title and a summary, of what you changed now.";

/// Says where the model is.
pub(super) fn situation(place: &Place, base: &Base, unpushed: Unpushed) -> String {
    let branch = &base.branch;
    let place = match place {
        Place::Branch {
            published,
            has_moved,
        } => {
            let proposed = published.pr_url.as_ref();
            let proposed = proposed.map(|url| format!(", which is proposed as {url}"));
            let moved = match has_moved {
                true => {
                    " Somebody has pushed to it since, so look at files again before you change them."
                }
                false => "",
            };
            format!(
                "Your change is on branch `{branch}`{}. The working tree is a clean checkout of it; what you \
                 change now goes on top of it as another commit.{moved}",
                proposed.unwrap_or_default()
            )
        }
        Place::Anew { gone } => format!(
            "You cannot go on where you were: {gone}. The working tree is a clean checkout of branch \
             `{branch}` as it is now, which holds what you did before only where it was merged. What you \
             change now is proposed as a change of its own."
        ),
        Place::Base => format!(
            "The working tree is a checkout of branch `{branch}` at {}.",
            short(&base.commit)
        ),
    };
    let work = match unpushed {
        Unpushed::Whole => " The changes that you had made and that were not pushed are in it.",
        Unpushed::InPart => {
            " The changes that you had made and that were not pushed are in it, but for files that were too \
             large to keep: make those again where they are still wanted."
        }
        Unpushed::LeftOut => {
            " The changes that you had made and that were not pushed do not fit the files as they are now, \
             so they are not in it: make them again where they are still wanted."
        }
        Unpushed::Nothing => "",
    };
    format!("{place}{work}")
}

/// What a model is told that knows the conversation.
pub(in crate::run) fn follow_up(followed: &Followed, situation: &str, message: &str) -> String {
    let said = said(&followed.unheard, message);
    format!(
        "{} {situation} {HOW_TO_END}\n\n{SAYS_NOW}\n\n{said}",
        came_of(followed)
    )
}

/// The task of a model that knows nothing of it, since none was asked before.
pub(in crate::run) fn task(followed: &Followed, situation: &str, message: &str) -> String {
    let [first, rest @ ..] = &followed.unheard[..] else {
        return message.to_owned();
    };
    format!(
        "{}\n\n# What came of it so far\n{} {situation}\n\n# What the person who asked says now\n{}",
        first.trim(),
        came_of(followed),
        said(rest, message)
    )
}

/// Why a run ended, where that is not what its model said.
fn came_of(followed: &Followed) -> String {
    let outcome = followed.outcome;
    match outcome {
        Outcome::PullRequest | Outcome::BranchOnly | Outcome::NoChanges => {
            format!("The run ended ({outcome}).")
        }
        _ => format!(
            "The run ended ({outcome}): {}.",
            followed.summary.trim_end_matches('.')
        ),
    }
}

fn said(unheard: &[String], message: &str) -> String {
    let all = unheard.iter().map(String::as_str).chain([message]);
    all.map(str::trim).collect::<Vec<_>>().join("\n\n")
}
