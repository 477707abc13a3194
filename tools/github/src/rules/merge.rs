//! What a change needs to be merged into a branch, in a few words each.

use serde::Deserialize;

use super::Rule;
use super::pattern::{Pattern, shown};

/// What a rule for signatures asks for.
pub(super) const SIGNED: &str = "signed commits";

/// More names than these do not make it clearer.
const MAX_NAMES: usize = 8;

/// What a rule for pull requests asks for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    required_approving_review_count: u64,
    require_code_owner_review: bool,
    require_last_push_approval: bool,
    required_review_thread_resolution: bool,
}

/// What `rules` and the `others` ask for, each once.
pub(super) fn needs(rules: &[Rule], others: &[String]) -> Vec<String> {
    let of_rules = rules.iter().flat_map(need);
    let mut needs: Vec<String> = Vec::new();
    for need in reviews(rules)
        .into_iter()
        .chain(of_rules)
        .chain(others.iter().cloned())
    {
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

/// The required checks of these names.
pub(super) fn checks(names: &[String]) -> Option<String> {
    let kind = if names.len() == 1 { "check" } else { "checks" };
    (!names.is_empty()).then(|| format!("the {kind} {}", listed(names)))
}

/// So many approving reviews.
pub(super) fn approvals(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("an approving review".to_owned()),
        more => Some(format!("{more} approving reviews")),
    }
}

/// Several rules for reviews hold together.
fn reviews(rules: &[Rule]) -> Vec<String> {
    let rules = rules.iter().filter(|rule| rule.kind == "pull_request");
    let rules: Vec<Review> = rules.filter_map(Rule::read).collect();
    let count = rules
        .iter()
        .map(|rule| rule.required_approving_review_count);
    let count = approvals(count.max().unwrap_or(0));
    let any =
        |wants: fn(&Review) -> bool, words: &str| rules.iter().any(wants).then(|| words.to_owned());
    [
        count,
        any(
            |rule| rule.require_code_owner_review,
            "the review of a code owner",
        ),
        any(
            |rule| rule.require_last_push_approval,
            "an approval of the last push by somebody else",
        ),
        any(
            |rule| rule.required_review_thread_resolution,
            "all conversations to be resolved",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn need(rule: &Rule) -> Option<String> {
    let patterned = |what: &str| {
        rule.read::<Pattern>()
            .map(|pattern| format!("{what} that {pattern}"))
    };
    match &*rule.kind {
        "required_status_checks" => checks(&contexts(rule)),
        "required_signatures" => Some(SIGNED.to_owned()),
        "required_linear_history" => Some("a linear history".to_owned()),
        "merge_queue" => Some("its turn in the merge queue".to_owned()),
        "required_deployments" => {
            let environments = rule.names("required_deployment_environments");
            (!environments.is_empty()).then(|| format!("a deployment to {}", listed(&environments)))
        }
        "workflows" => Some("the required workflows to pass".to_owned()),
        "code_scanning" => Some("the results of code scanning".to_owned()),
        "update" => Some("somebody whom its ruleset lets update it".to_owned()),
        "commit_message_pattern" => patterned("commit messages"),
        "commit_author_email_pattern" => patterned("author addresses"),
        "committer_email_pattern" => patterned("committer addresses"),
        _ => None,
    }
}

/// The names of the checks that a rule requires.
fn contexts(rule: &Rule) -> Vec<String> {
    let checks = rule.parameters["required_status_checks"].as_array();
    let contexts = checks.into_iter().flatten();
    contexts
        .filter_map(|check| check["context"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Names for people to read, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let first = names.iter().take(MAX_NAMES);
    let first: Vec<String> = first.map(|name| format!("`{}`", shown(name))).collect();
    match names.len().saturating_sub(MAX_NAMES) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(list: Value) -> Vec<Rule> {
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn what_several_rulesets_ask_for_is_said_once() {
        let review = |count: u64, owner: bool| {
            json!({"type": "pull_request", "parameters": {
                "required_approving_review_count": count, "require_code_owner_review": owner,
                "dismiss_stale_reviews_on_push": true}})
        };
        let builds = json!({"type": "required_status_checks", "parameters": {
            "required_status_checks": [{"context": "build"}, {"context": "test", "integration_id": 7}]}});
        let list = json!([
            review(1, false),
            review(2, true),
            builds,
            builds,
            {"type": "required_signatures"},
            {"type": "merge_queue", "parameters": {"merge_method": "SQUASH"}},
            {"type": "deletion"}, {"type": "non_fast_forward"}, {"type": "brand_new", "parameters": [1]},
        ]);
        let expected = [
            "2 approving reviews",
            "the review of a code owner",
            "the checks `build`, `test`",
            "signed commits",
            "its turn in the merge queue",
            "the check `lint`",
        ];
        let others = checks(&["lint".to_owned()]);
        let others: Vec<String> = others.into_iter().collect();
        assert_eq!(needs(&rules(list), &others), expected);
    }

    #[test]
    fn a_pull_request_alone_is_nothing_to_tell() {
        let list =
            json!([{"type": "pull_request", "parameters": {"required_approving_review_count": 0}}]);
        assert_eq!(needs(&rules(list), &[]), [""; 0]);
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (1..=10).map(|number| format!("c{number}")).collect();
        let said = checks(&names).unwrap();
        assert!(said.ends_with("`c8` and 2 more"), "{said}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let said = checks(&["x".repeat(5000)]).unwrap();
        assert!(
            said.ends_with("x…`") && said.chars().count() < 120,
            "{said}"
        );
    }
}
