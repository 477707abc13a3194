//! When an account may ask again, as GitHub has said.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::{HeaderMap, Uri};

use super::lock;
use crate::api::fault::{Fault, Reason, Refused, used_up_for};
use crate::api::graphql;

/// A budget begins anew each hour. A longer wait is not believed, or a wrong clock would shut an account for good.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// What GitHub counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::api) enum Resource {
    Core,
    Search,
    Graphql,
}

/// What holds an account up.
#[derive(Default)]
pub(in crate::api) struct Limits(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Until when the hourly budget is used up.
    primary: HashMap<Resource, Instant>,
    /// Until when nothing at all is to be asked.
    secondary: Option<Instant>,
}

impl Resource {
    pub(in crate::api) fn of(uri: &Uri) -> Self {
        match uri.path() {
            path if path.contains("/search/") => Self::Search,
            _ if graphql::is_asked(uri) => Self::Graphql,
            _ => Self::Core,
        }
    }
}

impl Limits {
    /// Refuses a request that GitHub would refuse.
    pub(in crate::api) fn check(&self, resource: Resource) -> Result<(), Fault> {
        let now = Instant::now();
        let known = lock(&self.0);
        let left = |until: &Instant| {
            until
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
        };
        let secondary = known.secondary.as_ref().and_then(left);
        let primary = known.primary.get(&resource).and_then(left);
        let held_up = secondary.map(|left| (Reason::SecondaryLimit, left));
        match held_up.or(primary.map(|left| (Reason::PrimaryLimit, left))) {
            Some((reason, left)) => Err(Fault::Held { reason, left }),
            None => Ok(()),
        }
    }

    /// Learns of an answer that was a success. With it, the budget may be used up.
    pub(in crate::api) fn learn(&self, resource: Resource, headers: &HeaderMap) {
        if let Some(left) = used_up_for(headers) {
            self.close(resource, &Reason::PrimaryLimit, left);
        }
    }

    /// Learns of a refusal.
    pub(in crate::api) fn learn_of_refusal(&self, resource: Resource, refused: &Refused) {
        if let Some(wait) = refused.wait {
            self.close(resource, &refused.reason, wait);
        }
    }

    /// Whether something holds the account up.
    pub(super) fn hold_up(&self) -> bool {
        [Resource::Core, Resource::Search, Resource::Graphql]
            .into_iter()
            .any(|resource| self.check(resource).is_err())
    }

    fn close(&self, resource: Resource, reason: &Reason, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST);
        let mut known = lock(&self.0);
        match reason {
            Reason::PrimaryLimit => {
                known.primary.insert(resource, until);
            }
            Reason::SecondaryLimit => known.secondary = known.secondary.max(Some(until)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: Reason, seconds: u64) -> Refused {
        Refused {
            status: 403,
            reason,
            message: String::new(),
            wait: Some(Duration::from_secs(seconds)),
            at: None,
        }
    }

    #[test]
    fn a_secondary_limit_holds_up_everything_and_a_primary_one_its_resource() {
        let limits = Limits::default();
        limits.learn_of_refusal(Resource::Search, &refused(Reason::PrimaryLimit, 60));
        assert!(limits.check(Resource::Core).is_ok());
        let held = limits.check(Resource::Search).unwrap_err();
        assert!(held.is_limit() && held.passes() && !held.may_have_applied());
        limits.learn_of_refusal(Resource::Core, &refused(Reason::SecondaryLimit, 90));
        // A shorter wait that is heard later does not end a longer one.
        limits.learn_of_refusal(Resource::Core, &refused(Reason::SecondaryLimit, 1));
        let held = limits.check(Resource::Core).unwrap_err();
        assert!(held.wait().unwrap() > Duration::from_secs(80), "{held}");
    }

    #[test]
    fn other_refusals_and_waits_that_are_over_hold_nothing_up() {
        let limits = Limits::default();
        limits.learn_of_refusal(Resource::Core, &refused(Reason::Server, 60));
        limits.learn_of_refusal(Resource::Core, &refused(Reason::SecondaryLimit, 0));
        limits.learn(Resource::Core, &HeaderMap::new());
        assert!(!limits.hold_up());
    }
}
