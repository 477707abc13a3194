//! What GitHub tells everybody of a branch's protection, which is older than rulesets.

use serde::Deserialize;

use super::merge;

/// A branch, as far as it is known.
pub(super) enum Branch {
    /// It is there.
    Known(Told),
    /// There is none of that name.
    Absent,
    /// GitHub does not say.
    Unknown,
}

/// What GitHub says of a branch.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    protection: Option<Protection>,
    #[serde(default)]
    required_approving_review_count: u64,
}

#[derive(Debug, Default, Deserialize)]
struct Protection {
    #[serde(default)]
    required_status_checks: Option<Checks>,
}

#[derive(Debug, Default, Deserialize)]
struct Checks {
    #[serde(default)]
    contexts: Vec<String>,
    /// For whom they hold; `off` for nobody.
    enforcement_level: Option<String>,
}

impl Told {
    /// What the protection asks of a merge. Of its other demands only its administrators are told, so that it is
    /// all there is to say of a branch that is protected and has no rules.
    pub(super) fn protection(&self, has_no_rules: bool) -> Vec<String> {
        if !self.protected {
            return Vec::new();
        }
        let checks = self.protection.as_ref();
        let checks = checks.and_then(|protection| protection.required_status_checks.as_ref());
        let in_force = checks.filter(|checks| checks.enforcement_level.as_deref() != Some("off"));
        let checks = in_force.map_or(&[][..], |checks| &checks.contexts);
        let reviews = merge::approvals(self.required_approving_review_count);
        let unknown = has_no_rules.then(|| "what its branch protection asks for".to_owned());
        let known = reviews.into_iter().chain(merge::checks(checks));
        known.chain(unknown).collect()
    }
}
