//! What the rules of our own branch mean for the push that is to come.
//!
//! What surely refuses it is an obstacle. A rule whose effect hangs on what is not known yet, such as which files
//! change, may refuse it; so may any rule of which nobody can say whether it binds us.

use std::fmt::Write as _;

use pullwright_tool_kit::protocol::forge::PlannedPush;

use super::Rule;
use super::merge::listed;
use super::pattern::{Pattern, shown};
use super::ruleset::{Bound, Ruleset, Rulesets};
use crate::github::Account;
use crate::repository::Repo;

/// What refuses the push, and what may.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) obstacles: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Something that a rule has against a push.
#[derive(Clone, Debug)]
pub(super) struct Concern {
    /// What the rule does, as in "the ruleset X …".
    does: String,
    /// What to do, beside leaving the branch out of the ruleset and bypassing it.
    remedy: Option<&'static str>,
    is_sure: bool,
    ruleset: Option<u64>,
    source: Option<String>,
}

impl Concern {
    pub(super) fn ruleset(&self) -> Option<u64> {
        self.ruleset
    }
}

/// What `rules` have against the push.
pub(super) fn concerns(rules: &[Rule], push: &PlannedPush) -> Vec<Concern> {
    let found = rules.iter().filter_map(|rule| concern(rule, push));
    found.collect()
}

/// The sentences for people, one for each ruleset at most of each kind.
pub(super) fn meaning(
    repo: &Repo,
    push: &PlannedPush,
    account: &Account,
    mut concerns: Vec<Concern>,
    rulesets: &Rulesets,
) -> Meaning {
    let of = |concern: &Concern| concern.ruleset.and_then(|id| rulesets.get(&id));
    let bound = |concern: &Concern| of(concern).map_or(Bound::Unknown, Ruleset::binds);
    concerns.retain(|concern| bound(concern) != Bound::No);
    concerns.sort_by_key(|concern| concern.ruleset);
    let (sure, unsure): (Vec<_>, Vec<_>) = concerns
        .into_iter()
        .partition(|concern| concern.is_sure && bound(concern) == Bound::Yes);
    let told = |verb: &str, concerns: Vec<Concern>| -> Vec<String> {
        let of_one = concerns.chunk_by(|one, other| one.ruleset == other.ruleset);
        of_one
            .map(|concerns| sentence(verb, repo, push, account, concerns, of(&concerns[0])))
            .collect()
    };
    Meaning {
        obstacles: told("refuses", sure),
        warnings: told("may refuse", unsure),
    }
}

/// Of a ruleset that has something against the push: what, and what to do.
fn sentence(
    verb: &str,
    repo: &Repo,
    push: &PlannedPush,
    account: &Account,
    concerns: &[Concern],
    ruleset: Option<&Ruleset>,
) -> String {
    let Concern { source, .. } = &concerns[0];
    let name = ruleset.and_then(|ruleset| ruleset.name.as_deref());
    let mut said = match name {
        Some(name) => format!("the ruleset {}", listed(&[name.to_owned()])),
        None => "a ruleset".to_owned(),
    };
    let source = source.as_deref().map_or_else(|| repo.to_string(), shown);
    let branch = &push.branch;
    let _ = write!(said, " of {source} {verb} the push to {branch}, since it ");
    let does = each_once(concerns.iter().map(|concern| &*concern.does));
    said.push_str(&does.join(", and "));
    said.push_str(": ");
    for remedy in each_once(concerns.iter().filter_map(|concern| concern.remedy)) {
        let _ = write!(said, "{remedy}, or ");
    }
    let _ = write!(
        said,
        "leave such branches out of it, or let {account} bypass it"
    );
    said
}

fn each_once<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

/// What one rule has against the push. What is not known here is nothing: GitHub has new rules now and then, and
/// most of them are about merging.
fn concern(rule: &Rule, push: &PlannedPush) -> Option<Concern> {
    let (does, remedy, is_sure) = match &*rule.kind {
        "creation" if push.grows => return None,
        "creation" => (
            "lets only those who may bypass it create the branch".to_owned(),
            None,
            true,
        ),
        "update" => update(push),
        "required_linear_history" if push.merges => (
            "takes no merge commits".to_owned(),
            Some("set `moved_base` to `rebase`"),
            false,
        ),
        "required_signatures" if !push.verified => (
            "takes signed commits only, and those of this run are not signed".to_owned(),
            Some("turn on verified commits (`[commit] verified`)"),
            true,
        ),
        "pull_request" => (
            "takes changes by pull request only".to_owned(),
            None,
            push.grows,
        ),
        "required_status_checks" | "workflows" if is_let_in(rule, push) => return None,
        "required_status_checks" | "workflows" | "required_deployments" | "code_scanning" => (
            "takes only what has passed its checks".to_owned(),
            None,
            false,
        ),
        "merge_queue" => (
            "takes changes by its merge queue only".to_owned(),
            None,
            false,
        ),
        "branch_name_pattern" if push.grows => return None,
        "branch_name_pattern" => {
            let remedy = "ask for such a `branch`";
            return of_pattern(rule, "branches that", Some(&push.branch), Some(remedy));
        }
        "commit_author_email_pattern" | "committer_email_pattern" => {
            let known = push.email.as_deref().filter(|_| !push.verified);
            let remedy = (!push.verified).then_some("set `email` in [commit] to one that fits");
            return of_pattern(rule, "commits of addresses that", known, remedy);
        }
        "commit_message_pattern" => {
            let remedy = "ask for such a message in the prompt";
            return of_pattern(rule, "commit messages that", None, Some(remedy));
        }
        _ => (of_files(rule)?, None, false),
    };
    Some(told_of(rule, does, remedy, is_sure))
}

fn told_of(rule: &Rule, does: String, remedy: Option<&'static str>, is_sure: bool) -> Concern {
    Concern {
        does,
        remedy,
        is_sure,
        ruleset: rule.ruleset_id,
        source: rule.ruleset_source.clone(),
    }
}

/// A new branch is made with its commit, which GitHub may count as an update or not.
fn update(push: &PlannedPush) -> (String, Option<&'static str>, bool) {
    let does = "lets only those who may bypass it push there";
    (does.to_owned(), None, push.grows || push.verified)
}

/// Whether the rule lets a branch begin with what it would refuse later.
fn is_let_in(rule: &Rule, push: &PlannedPush) -> bool {
    !push.grows && !push.verified && rule.says("do_not_enforce_on_create")
}

/// A rule whose pattern a text must match, if the text is known.
fn of_pattern(
    rule: &Rule,
    what: &str,
    known: Option<&str>,
    remedy: Option<&'static str>,
) -> Option<Concern> {
    let pattern: Pattern = rule.read()?;
    let does = format!("takes only {what} {pattern}");
    match known.map(|text| pattern.takes(text)) {
        Some(Some(true)) => None,
        Some(Some(false)) => Some(told_of(rule, does, remedy, true)),
        Some(None) | None => Some(told_of(rule, does, remedy, false)),
    }
}

/// What a rule has against some files.
fn of_files(rule: &Rule) -> Option<String> {
    let number = |parameter: &str| rule.parameters[parameter].as_u64();
    match &*rule.kind {
        "file_path_restriction" => {
            let paths = rule.names("restricted_file_paths");
            (!paths.is_empty()).then(|| format!("takes no files at {}", listed(&paths)))
        }
        "file_extension_restriction" => {
            let extensions = rule.names("restricted_file_extensions");
            (!extensions.is_empty()).then(|| format!("takes no files of {}", listed(&extensions)))
        }
        "max_file_size" => {
            let mb = number("max_file_size")?;
            Some(format!("takes no files of more than {mb} MB"))
        }
        "max_file_path_length" => {
            let chars = number("max_file_path_length")?;
            Some(format!("takes no paths of more than {chars} characters"))
        }
        _ => None,
    }
}
