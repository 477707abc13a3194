//! When a call is made again.

use std::time::{Duration, Instant};

use prost::Message as _;
use tonic::{Code, Status};

use super::wire::client::{RpcRetryPolicy, RpcStatus};

/// The name of the detail by which a busy server says how long to wait.
const RETRY_POLICY: &str = "RPCRetryPolicy";

/// The shortest wait between two attempts, whatever a server asks for.
const MIN_ASKED_WAIT: Duration = Duration::from_millis(100);

/// How long a busy server is waited for in all, unless the account says otherwise: a run must not hang on
/// it for ever.
pub(super) const MAX_THROTTLE: Duration = Duration::from_secs(600);

/// How failed calls are made again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    first: Duration,
    longest: Duration,
    retries: u32,
}

/// Of the control plane.
pub(super) const CONTROL: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    retries: 3,
};

/// Of the first call to a command router: a sandbox that is starting may not have one for minutes.
pub(super) const STARTING: Policy = Policy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(10),
    retries: 34,
};

/// Of a command router.
pub(super) const ROUTER: Policy = Policy {
    first: Duration::from_millis(10),
    longest: Duration::from_secs(5),
    retries: 10,
};

/// The attempts of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    policy: Policy,
    max_throttle: Duration,
    begun: Instant,
    /// How often it was made again after a failure.
    pub(super) retries: u32,
    /// How often it was made again because the server asked for that.
    pub(super) throttled: u32,
}

impl Attempts {
    /// None yet; `max_throttle` is how long a busy server is waited for in all.
    pub(super) fn new(policy: Policy, max_throttle: Duration) -> Self {
        Self {
            policy,
            max_throttle,
            begun: Instant::now(),
            retries: 0,
            throttled: 0,
        }
    }

    /// How long it took so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How long to wait before the next attempt; nothing where another is pointless.
    pub(super) fn wait_after(&mut self, status: &Status) -> Option<Duration> {
        if let Some(asked) = asked_wait(status) {
            let fits = self.elapsed() + asked <= self.max_throttle;
            self.throttled += 1;
            return fits.then_some(asked);
        }
        if !is_passing(status.code()) || self.retries >= self.policy.retries {
            return None;
        }
        let doubled = self.policy.first * 2u32.saturating_pow(self.retries);
        self.retries += 1;
        Some(doubled.min(self.policy.longest))
    }
}

/// Whether the same call may succeed a moment later.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::DeadlineExceeded
            | Code::Unavailable
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
    )
}

/// The wait that a busy server asks for.
fn asked_wait(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let policy = details.iter().find(|detail| {
        let name = detail.type_url.rsplit(['/', '.']).next();
        name == Some(RETRY_POLICY)
    })?;
    let policy = RpcRetryPolicy::decode(policy.value.as_slice()).ok()?;
    let wait = Duration::try_from_secs_f32(policy.retry_after_secs).ok()?;
    Some(wait.max(MIN_ASKED_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(seconds: f32) -> Status {
        let policy = RpcRetryPolicy {
            retry_after_secs: seconds,
        };
        let status = RpcStatus {
            code: 8,
            message: "busy".to_owned(),
            details: vec![prost_types::Any {
                type_url: "type.modal.com/modal.client.RPCRetryPolicy".to_owned(),
                value: policy.encode_to_vec(),
            }],
        };
        Status::with_details(
            Code::ResourceExhausted,
            "busy",
            status.encode_to_vec().into(),
        )
    }

    #[test]
    fn passing_failures_are_tried_again_a_few_times() {
        let mut attempts = Attempts::new(CONTROL, MAX_THROTTLE);
        let status = Status::unavailable("later");
        let waits: Vec<_> = std::iter::from_fn(|| attempts.wait_after(&status)).collect();
        let ms = Duration::from_millis;
        assert_eq!(waits, [ms(100), ms(200), ms(400)]);
        for code in [
            Code::NotFound,
            Code::InvalidArgument,
            Code::ResourceExhausted,
        ] {
            let status = Status::new(code, "no");
            assert_eq!(
                Attempts::new(CONTROL, MAX_THROTTLE).wait_after(&status),
                None,
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_busy_server_is_waited_for_as_long_as_it_asks() {
        let mut attempts = Attempts::new(CONTROL, MAX_THROTTLE);
        for _ in 0..20 {
            let wait = attempts.wait_after(&throttled(2.5));
            assert_eq!(wait, Some(Duration::from_millis(2500)));
        }
        assert_eq!((attempts.retries, attempts.throttled), (0, 20));
        let hasty = Attempts::new(CONTROL, MAX_THROTTLE).wait_after(&throttled(0.0));
        assert_eq!(hasty, Some(MIN_ASKED_WAIT));
        let mut impatient = Attempts::new(CONTROL, Duration::from_secs(2));
        assert_eq!(impatient.wait_after(&throttled(2.5)), None);
        for absurd in [1e9, -1.0, f32::NAN] {
            assert_eq!(
                Attempts::new(CONTROL, MAX_THROTTLE).wait_after(&throttled(absurd)),
                None
            );
        }
    }
}
