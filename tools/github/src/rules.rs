//! The rules of branches: those that rulesets set, and what is told of a branch's protection.
//!
//! They are good to know before the work begins, and a run can do without: what GitHub does not answer is not
//! known, and changes nothing. Rules are read as far as they are understood.

mod branch;
mod merge;
mod pattern;
mod push;
mod ruleset;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use pullwright_tool_kit::protocol::forge::PlannedPush;

use crate::api::Reason;
use crate::github::Github;
use crate::repository::{Repo, segment};

use branch::Branch;
use push::Meaning;

/// GitHub's largest page.
const PAGE: usize = 100;
/// More rules than these are not read: nobody has so many for one branch.
const MAX_PAGES: usize = 5;

/// What the rules mean for a run.
#[derive(Debug, Default)]
pub(crate) struct Ruled {
    /// What refuses the push, each with its remedy.
    pub(crate) obstacles: Vec<String>,
    /// What a person should know, such as what may refuse it.
    pub(crate) warnings: Vec<String>,
    /// What a change needs to be merged.
    pub(crate) merge_needs: Vec<String>,
}

/// A rule that applies to a branch.
#[derive(Clone, Debug, Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: Value,
    /// The ruleset that it is of.
    ruleset_id: Option<u64>,
    /// The repository, organisation or enterprise that has the ruleset.
    ruleset_source: Option<String>,
}

impl Rule {
    /// Its parameters, if they are such.
    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.parameters.clone()).ok()
    }

    /// One of its parameters that says yes.
    fn says(&self, parameter: &str) -> bool {
        self.parameters[parameter] == true
    }

    /// One of its parameters that is a list of names.
    fn names(&self, parameter: &str) -> Vec<String> {
        let names = self.parameters[parameter].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

impl Github {
    /// What is known of the rules for a push to a branch of `repo`, and for a merge into `base`.
    pub(crate) async fn ruled(&self, repo: &Repo, base: &str, push: Option<&PlannedPush>) -> Ruled {
        let of_push = async {
            match push {
                Some(push) => self.rules_of_push(repo, push).await,
                None => Meaning::default(),
            }
        };
        let (of_push, rules, branch) = tokio::join!(
            of_push,
            self.rules_of(repo, base),
            self.branch_of(repo, base)
        );
        let Meaning {
            obstacles,
            mut warnings,
        } = of_push;
        let rules = rules.unwrap_or_default();
        let merge_needs = match &branch {
            Branch::Absent => Vec::new(),
            Branch::Unknown => merge::needs(&rules, &[]),
            Branch::Known(told) => merge::needs(&rules, &told.protection(rules.is_empty())),
        };
        let is_verified = push.is_some_and(|push| push.verified);
        if !is_verified && merge_needs.iter().any(|need| need == merge::SIGNED) {
            warnings.push(format!(
                "{base} of {repo} takes signed commits only, and those of this run are not signed, so its pull \
                 request cannot be merged as it is: turn on verified commits (`[commit] verified`), or have somebody sign them"
            ));
        }
        Ruled {
            obstacles,
            warnings,
            merge_needs,
        }
    }

    /// The rules of a branch, which need not be there yet; nothing where GitHub does not say.
    async fn rules_of(&self, repo: &Repo, branch: &str) -> Option<Vec<Rule>> {
        let route = repo.path(format_args!("/rules/branches/{}", in_path(branch)?));
        let mut rules = Vec::new();
        for page in 1..=MAX_PAGES {
            let (size, number) = (PAGE.to_string(), page.to_string());
            let query = [("per_page", &*size), ("page", &*number)];
            let found = self.api.look_up::<Vec<Value>>(repo, &route, &query).await;
            let found = match found {
                Ok(found) => found,
                Err(fault) => {
                    tracing::info!(%fault, %repo, branch, "the rules of a branch are not known");
                    return None;
                }
            };
            let is_last = found.len() < PAGE;
            let known = found
                .into_iter()
                .filter_map(|rule| serde_json::from_value(rule).ok());
            rules.extend(known);
            if is_last {
                break;
            }
        }
        Some(rules)
    }

    async fn branch_of(&self, repo: &Repo, name: &str) -> Branch {
        let Some(name) = in_path(name) else {
            return Branch::Unknown;
        };
        let route = repo.path(format_args!("/branches/{name}"));
        match self.api.look_up(repo, &route, &[]).await {
            Ok(told) => Branch::Known(told),
            Err(fault) if fault.reason() == Some(&Reason::NotFound) => Branch::Absent,
            Err(fault) => {
                tracing::info!(%fault, %repo, name, "the protection of a branch is not known");
                Branch::Unknown
            }
        }
    }

    async fn rules_of_push(&self, repo: &Repo, push: &PlannedPush) -> Meaning {
        let rules = self.rules_of(repo, &push.branch).await.unwrap_or_default();
        let concerns = push::concerns(&rules, push);
        let rulesets = self.rulesets(repo, &concerns).await;
        push::meaning(repo, push, &self.account, concerns, &rulesets)
    }
}

/// A branch's name as one part of a path. None for what would leave its place there.
fn in_path(branch: &str) -> Option<String> {
    let leaves = branch.bytes().all(|byte| byte == b'.') || branch.contains(char::is_whitespace);
    (!leaves).then(|| segment(branch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_one_part_of_a_path() {
        let part = |branch| in_path(branch);
        assert_eq!(part("a/b-1.2_c").as_deref(), Some("a%2Fb-1.2_c"));
        assert_eq!(part("ä#1%2F?").as_deref(), Some("%C3%A4%231%252F%3F"));
        for odd in ["", ".", "..", "a b", "a\nb"] {
            assert_eq!(part(odd), None, "{odd:?}");
        }
    }
}
