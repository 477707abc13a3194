//! What models cost: tokens, prices, and the sum over a run.

use std::fmt;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Token counts of one reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenUsage {
    /// All input, whether cached or not.
    pub input_tokens: u64,
    /// Input read from the cache.
    pub cached_tokens: u64,
    /// Input written to the cache.
    pub cache_write_tokens: u64,
    /// All output, reasoning included.
    pub output_tokens: u64,
}

impl TokenUsage {
    /// How much of the input was read from the cache, in percent.
    #[must_use]
    pub fn cached_percent(&self) -> u64 {
        percent(self.cached_tokens, self.input_tokens)
    }
}

/// Prices in US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Input that is not in the cache.
    pub input: f64,
    /// Input read from the cache.
    pub cached_input: f64,
    /// Input written to the cache.
    pub cache_write: f64,
    /// Output, reasoning included.
    pub output: f64,
}

impl Prices {
    /// The cost of `usage`, in US dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "token counts stay far below 2^52"
    )]
    pub fn cost(&self, usage: &TokenUsage) -> f64 {
        let fresh = usage
            .input_tokens
            .saturating_sub(usage.cached_tokens + usage.cache_write_tokens);
        (fresh as f64 * self.input
            + usage.cached_tokens as f64 * self.cached_input
            + usage.cache_write_tokens as f64 * self.cache_write
            + usage.output_tokens as f64 * self.output)
            / 1_000_000.0
    }
}

/// What a run spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunUsage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// The cost in US dollars; absent where the model has no prices.
    #[serde(default)]
    pub usd: Option<f64>,
    /// What its sandboxes used, where they are somewhere else and say so. It is not part of `usd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxUsage>,
}

/// What sandboxes used of the machines of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxUsage {
    /// Seconds of one processor's core.
    pub cpu_core_seconds: f64,
    /// Seconds of a GiB of memory.
    pub memory_gib_seconds: f64,
}

impl fmt::Display for SandboxUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, memory) = (self.cpu_core_seconds, self.memory_gib_seconds);
        write!(
            f,
            "{cpu:.1} core-seconds and {memory:.1} GiB-seconds of memory"
        )
    }
}

impl AddAssign for SandboxUsage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_core_seconds += other.cpu_core_seconds;
        self.memory_gib_seconds += other.memory_gib_seconds;
    }
}

impl RunUsage {
    /// How much of the input was read from the cache, in percent.
    #[must_use]
    pub fn cached_percent(&self) -> u64 {
        percent(self.cached_tokens, self.input_tokens)
    }

    /// Adds what an event says was spent, if it says so.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::ModelReplied { usage, usd, .. } | Event::ReplyLost { usage, usd } => {
                self.add(usage, *usd);
            }
            Event::SandboxUsed { used } => *self.sandbox.get_or_insert_default() += *used,
            _ => {}
        }
    }

    /// Adds one call's usage.
    pub fn add(&mut self, usage: &TokenUsage, usd: Option<f64>) {
        self.input_tokens += usage.input_tokens;
        self.cached_tokens += usage.cached_tokens;
        self.output_tokens += usage.output_tokens;
        if let Some(usd) = usd {
            *self.usd.get_or_insert(0.0) += usd;
        }
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    let hundredfold = part.saturating_mul(100);
    hundredfold.checked_div(whole).unwrap_or_default()
}
