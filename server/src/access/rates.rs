//! How often anybody may call.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use pullwright_core::config::AccessConfig;
use pullwright_protocol::FailureKind;

use super::address::household;
use crate::problem::ApiProblem;

/// Addresses share this many places, so that no number of them outgrows memory. Which of them share one
/// nobody can know, and it happens to two addresses once in 65,536 times.
type Place = u16;

/// The limits of one server, with what was used of them.
pub(super) struct Rates<C: Clock = DefaultClock> {
    keys: Limiter<String, C>,
    addresses: Limiter<Place, C>,
    failures: Limiter<Place, C>,
    places: RandomState,
    clock: C,
}

type Limiter<K, C> = RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl Rates {
    pub(super) fn new(config: &AccessConfig) -> Self {
        Self::with_clock(config, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(config: &AccessConfig, clock: C) -> Self {
        let requests = Quota::per_minute(config.requests_per_minute);
        let requests = requests.allow_burst(config.request_burst);
        let failures = Quota::per_minute(config.failed_auth_per_minute);
        Self {
            keys: limiter(requests, &clock),
            addresses: limiter(requests, &clock),
            failures: limiter(failures, &clock),
            places: RandomState::new(),
            clock,
        }
    }

    /// Counts a request with the key of this id.
    pub(super) fn key(&self, id: &str, name: &str) -> Result<(), ApiProblem> {
        let who = || format!("the API key `{name}`");
        self.count(&self.keys, &id.to_owned(), "requests", who)
    }

    /// Counts a request from an address. Processes of this machine may do as they like.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), ApiProblem> {
        if address.is_loopback() {
            return Ok(());
        }
        let who = || format!("the address {address}");
        self.count(&self.addresses, &self.place(address), "requests", who)
    }

    /// Counts a request without a good key from an address.
    pub(super) fn failure(&self, address: IpAddr) -> Result<(), ApiProblem> {
        let who = || format!("the address {address}");
        let what = "requests without a good API key";
        self.count(&self.failures, &self.place(address), what, who)
    }

    fn place(&self, address: IpAddr) -> Place {
        let hash = self.places.hash_one(household(address)).to_le_bytes();
        Place::from_le_bytes([hash[0], hash[1]])
    }

    fn count<K: Clone + Eq + Hash>(
        &self,
        limiter: &Limiter<K, C>,
        key: &K,
        what: &str,
        who: impl Fn() -> String,
    ) -> Result<(), ApiProblem> {
        let Err(early) = limiter.check_key(key) else {
            return Ok(());
        };
        let wait = early.wait_time_from(self.clock.now());
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = seconds.max(1);
        let message = format!(
            "too many {what} from {}; try again in {seconds} seconds",
            who()
        );
        let status = StatusCode::TOO_MANY_REQUESTS;
        let problem = ApiProblem::new(status, FailureKind::RateLimited, message);
        Err(problem.retry_after(seconds))
    }
}

fn limiter<K: Clone + Eq + Hash, C: Clock + Clone>(quota: Quota, clock: &C) -> Limiter<K, C> {
    RateLimiter::new(quota, HashMapStateStore::default(), clock.clone())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(clock: &FakeRelativeClock) -> Rates<FakeRelativeClock> {
        let number = |number| NonZeroU32::new(number).unwrap();
        let config = AccessConfig {
            requests_per_minute: number(60),
            request_burst: number(3),
            failed_auth_per_minute: number(2),
            ..AccessConfig::default()
        };
        Rates::with_clock(&config, clock.clone())
    }

    fn allowed(mut request: impl FnMut() -> Result<(), ApiProblem>) -> usize {
        (0..100).take_while(|_| request().is_ok()).count()
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let clock = FakeRelativeClock::default();
        let rates = rates(&clock);
        let [one, other] = [1, 2].map(|n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n)));
        assert_eq!(allowed(|| rates.address(one)), 3);
        assert_eq!(allowed(|| rates.address(other)), 3, "each has its own");
        let refused = rates.address(one).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.retry_after_secs, Some(1));
        clock.advance(Duration::from_secs(2));
        assert_eq!(allowed(|| rates.address(one)), 2);
    }

    #[test]
    fn keys_and_failures_are_counted_apart() {
        let clock = FakeRelativeClock::default();
        let rates = rates(&clock);
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(allowed(|| rates.key("1", "ci")), 3);
        assert_eq!(allowed(|| rates.key("2", "other")), 3);
        assert_eq!(allowed(|| rates.failure(address)), 2);
        assert_eq!(
            rates.failure(address).unwrap_err().retry_after_secs,
            Some(30)
        );
        assert_eq!(
            allowed(|| rates.address(address)),
            100,
            "this machine itself"
        );
    }

    #[test]
    fn any_number_of_addresses_has_a_bounded_number_of_places() {
        let rates = rates(&FakeRelativeClock::default());
        for network in 0..200_000_u128 {
            let address = IpAddr::from(Ipv6Addr::from((0x2001 << 112) + (network << 64)));
            let _ = rates.address(address);
        }
        assert!(rates.addresses.len() <= usize::from(Place::MAX) + 1);
    }
}
