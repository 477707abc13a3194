//! What the model calls a revision.

use git2::{Commit, Object, Repository};
use pullwright_tool_kit::Refusal;

/// How many names to offer in place of one that does not exist.
const SUGGESTIONS: usize = 3;

/// The object that `rev` names.
pub(crate) fn resolve<'a>(repository: &'a Repository, rev: &str) -> Result<Object<'a>, Refusal> {
    let found = match rev.is_empty() {
        true => None,
        false => repository.revparse_single(rev).ok(),
    };
    found.ok_or_else(|| unknown(repository, rev))
}

/// The commit that `rev` names.
pub(crate) fn commit<'a>(repository: &'a Repository, rev: &str) -> Result<Commit<'a>, Refusal> {
    resolve(repository, rev)?
        .peel_to_commit()
        .map_err(|_| Refusal::new(format!("`{rev}` is not a commit")))
}

fn unknown(repository: &Repository, rev: &str) -> Refusal {
    if matches!(rev, "HEAD" | "@") {
        return Refusal::new("there is no commit yet, or HEAD is damaged");
    }
    let nearest = nearest(rev, reference_names(repository));
    let hint = if nearest.is_empty() {
        "there are no branches or tags; use HEAD or a commit id of `log`".to_owned()
    } else {
        format!(
            "nearest names: {}; or a commit id of `log`",
            nearest.join(", ")
        )
    };
    Refusal::new(format!("unknown revision `{rev}`; {hint}"))
}

/// The names most like `wanted`, best first.
pub(crate) fn nearest(wanted: &str, mut names: Vec<String>) -> Vec<String> {
    let likeness = |name: &String| strsim::jaro_winkler(wanted, name);
    names.sort_by(|left, right| likeness(right).total_cmp(&likeness(left)));
    names.truncate(SUGGESTIONS);
    names
}

fn reference_names(repository: &Repository) -> Vec<String> {
    let Ok(references) = repository.references() else {
        return Vec::new();
    };
    references
        .flatten()
        .filter_map(|reference| reference.shorthand().ok().map(str::to_owned))
        .chain(["HEAD".to_owned()])
        .collect()
}
