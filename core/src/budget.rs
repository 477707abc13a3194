//! The budget of a run: money is reserved before it is spent.

use std::time::{Duration, Instant};

use pullwright_protocol::provider::{Prices, TokenUsage};
use pullwright_protocol::{BudgetLimits, RunUsage};

use crate::conversation::BYTES_PER_TOKEN;

/// The fewest output tokens worth asking for: with less, a reply is cut before it can act.
const MIN_OUTPUT_TOKENS: u64 = 1024;

/// Upper bounds of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Model cost, in US dollars; not kept for a model without prices.
    pub usd: Option<f64>,
    /// Model tokens, input and output together.
    pub tokens: Option<u64>,
    /// Model calls.
    pub turns: u32,
    /// Wall time.
    pub time: Duration,
}

/// What is left of the limits.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    started: Instant,
    prices: Option<Prices>,
    turns: u32,
    usage: RunUsage,
}

/// The next call would go beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BudgetReached(pub String);

impl Limits {
    /// These limits, lowered by a request's. A request cannot raise them.
    #[must_use]
    pub fn lowered_by(self, request: &BudgetLimits) -> Self {
        let minutes = request.max_minutes.map(|minutes| minutes * 60.0);
        let time = minutes.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            usd: lower(self.usd, request.max_usd),
            tokens: lower(self.tokens, request.max_tokens),
            turns: request
                .max_turns
                .map_or(self.turns, |turns| turns.min(self.turns)),
            time: time.map_or(self.time, |time| time.min(self.time)),
        }
    }
}

impl Budget {
    /// A fresh budget; its time runs from `started`.
    #[must_use]
    pub fn new(limits: Limits, started: Instant) -> Self {
        Self {
            limits,
            started,
            prices: None,
            turns: 0,
            usage: RunUsage::default(),
        }
    }

    /// Counts what was spent before.
    #[must_use]
    pub fn after(self, turns: u32, usage: RunUsage) -> Self {
        Self {
            turns,
            usage,
            ..self
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts in this currency from now on.
    pub fn set_prices(&mut self, prices: Option<Prices>) {
        self.prices = prices;
    }

    /// When the run's time is over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.started + self.limits.time
    }

    /// What the run spent so far.
    #[must_use]
    pub fn usage(&self) -> RunUsage {
        self.usage
    }

    /// Reserves one more call with a request of `request_bytes`, and answers how many output tokens
    /// it may have: at most `wanted_output`, less where the budget is nearly used up.
    ///
    /// # Errors
    /// When a limit leaves no room for a useful call.
    pub fn reserve(&self, request_bytes: u64, wanted_output: u64) -> Result<u64, BudgetReached> {
        if self.turns >= self.limits.turns {
            return Err(BudgetReached(format!(
                "the run used all of its {} model calls",
                self.limits.turns
            )));
        }
        if Instant::now() >= self.deadline() {
            return Err(self.time_is_over());
        }
        let input = request_bytes / BYTES_PER_TOKEN;
        let affordable = wanted_output
            .min(self.tokens_left_for_output(input))
            .min(self.money_left_for_output(input));
        if affordable < wanted_output.min(MIN_OUTPUT_TOKENS) {
            return Err(BudgetReached(self.describe_shortage(input)));
        }
        Ok(affordable)
    }

    /// Whether what calls cost is known.
    #[must_use]
    pub fn has_prices(&self) -> bool {
        self.prices.is_some()
    }

    /// Books what a call really cost, and answers the cost in US dollars.
    pub fn book(&mut self, usage: &TokenUsage) -> Option<f64> {
        let usd = self.prices.map(|prices| prices.cost(usage));
        self.turns += 1;
        self.usage.add(usage, usd);
        usd
    }

    /// Says that the time is over.
    #[must_use]
    pub fn time_is_over(&self) -> BudgetReached {
        BudgetReached(format!(
            "the run used all of its {} minutes",
            self.limits.time.as_secs_f64() / 60.0
        ))
    }

    fn tokens_left_for_output(&self, input: u64) -> u64 {
        self.limits.tokens.map_or(u64::MAX, |limit| {
            limit.saturating_sub(self.spent_tokens() + input)
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts stay far below 2^52, and the cast saturates"
    )]
    fn money_left_for_output(&self, input: u64) -> u64 {
        let (Some(limit), Some(prices)) = (self.limits.usd, self.prices) else {
            return u64::MAX;
        };
        let dearest_input = prices.input.max(prices.cache_write);
        let left = limit - self.spent_usd() - input as f64 * dearest_input / 1e6;
        if prices.output <= 0.0 {
            return if left >= 0.0 { u64::MAX } else { 0 };
        }
        (left.max(0.0) / prices.output * 1e6) as u64
    }

    fn describe_shortage(&self, input: u64) -> String {
        if self.tokens_left_for_output(input) < MIN_OUTPUT_TOKENS {
            return format!(
                "the next call needs about {input} tokens of input; {} of {} tokens are spent",
                self.spent_tokens(),
                self.limits.tokens.unwrap_or_default()
            );
        }
        format!(
            "the next call could cost more than is left: {:.4} of {:.2} US dollars are spent",
            self.spent_usd(),
            self.limits.usd.unwrap_or_default()
        )
    }

    fn spent_tokens(&self) -> u64 {
        self.usage.input_tokens + self.usage.output_tokens
    }

    fn spent_usd(&self) -> f64 {
        self.usage.usd.unwrap_or_default()
    }
}

fn lower<T: PartialOrd>(configured: Option<T>, requested: Option<T>) -> Option<T> {
    match (configured, requested) {
        (Some(configured), Some(requested)) if requested < configured => Some(requested),
        (None, requested) => requested,
        (configured, _) => configured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            usd: Some(1.0),
            tokens: Some(100_000),
            turns: 2,
            time: Duration::from_secs(60),
        }
    }

    const PRICES: Prices = Prices {
        input: 5.0,
        cached_input: 0.5,
        cache_write: 6.25,
        output: 25.0,
    };

    #[test]
    fn a_request_lowers_limits_but_never_raises_them() {
        let asked = BudgetLimits {
            max_usd: Some(5.0),
            max_tokens: Some(10),
            max_turns: Some(9),
            max_minutes: Some(0.5),
        };
        let lowered = limits().lowered_by(&asked);
        assert_eq!(lowered.usd, Some(1.0));
        assert_eq!(lowered.tokens, Some(10));
        assert_eq!(lowered.turns, 2);
        assert_eq!(lowered.time, Duration::from_secs(30));
    }

    #[test]
    fn output_is_cut_to_what_the_money_allows() {
        let mut budget = Budget::new(limits(), Instant::now());
        budget.set_prices(Some(PRICES));
        assert_eq!(budget.reserve(0, 64_000), Ok(40_000));
        budget.book(&TokenUsage {
            output_tokens: 39_900,
            ..TokenUsage::default()
        });
        assert!(budget.reserve(0, 64_000).is_err());
    }

    #[test]
    fn the_last_turn_is_the_last() {
        let mut budget = Budget::new(limits(), Instant::now());
        budget.book(&TokenUsage::default());
        assert!(budget.reserve(0, 1).is_ok());
        budget.book(&TokenUsage::default());
        assert!(budget.reserve(0, 1).is_err());
    }

    #[test]
    fn tokens_are_counted_before_the_call() {
        let budget = Budget::new(limits(), Instant::now());
        assert!(budget.reserve(299_000, 8_000).is_err());
        assert_eq!(budget.reserve(270_000, 32_000), Ok(10_000));
    }
}
