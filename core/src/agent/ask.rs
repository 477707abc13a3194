//! Asks the model for its next reply, again where asking again may help.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pullwright_protocol::provider::{Delta, ProviderError, StopReason, TokenUsage};
use pullwright_protocol::{Event, FailureKind, Item};

use super::coalesce::{Coalescer, Kind};
use super::{Agent, Halt, Reply};
use crate::conversation::{BYTES_PER_TOKEN, tokens_of};
use crate::provider;

/// The most output tokens asked for where the provider does not say what its model can do.
const DEFAULT_OUTPUT_TOKENS: u64 = 32_000;

/// The fewest output tokens asked for, however full the context is by our estimate.
const MIN_OUTPUT_TOKENS: u64 = 1024;

/// How often one reply is asked for, the first time included.
const MAX_ATTEMPTS: u32 = 5;

/// How often where the provider has too much to do, which passes within minutes.
const MAX_ATTEMPTS_WHEN_BUSY: u32 = 10;

/// The wait before the second attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait between attempts that we choose ourselves.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The longest wait a provider may ask for: beyond it the run ends instead of sleeping.
const MAX_ASKED_WAIT: Duration = Duration::from_secs(120);

/// What is asked of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its next reply, which is recorded.
    Reply,
    /// A shorter conversation that says the same, which is not.
    Compaction,
}

impl Agent<'_> {
    /// The model's next reply, complete and recorded. A conversation that does not fit, or soon will not,
    /// starts anew first.
    pub(super) async fn ask(&mut self) -> Result<Reply, Halt> {
        // A reply costs money: what led to it must not be forgotten, or it is asked for again.
        self.log.committed().await?;
        if self.is_nearly_full() {
            self.compact().await?;
        }
        let overflow = match self.ask_without_rejected_reasoning().await? {
            Ok(reply) => return Ok(reply),
            Err(overflow) => overflow,
        };
        self.log.emit(error_event(&overflow, 1, true)).await;
        self.compact().await?;
        let again = self.ask_until_answered(Asked::Reply).await?;
        again.map_err(|overflow| Halt::Failed(overflow.kind, overflow.message))
    }

    /// What the model answers, or the error that says that the conversation cannot go on as it is.
    pub(super) async fn ask_until_answered(
        &mut self,
        asked: Asked,
    ) -> Result<Result<Reply, ProviderError>, Halt> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(asked).await? {
                Err(error) if !needs_another_conversation(error.kind) => error,
                answered => return Ok(answered),
            };
            let wait = wait_before_retry(&error, attempt);
            // A compaction that fails is no end: a summary takes its place.
            let goes_on = wait.is_some() || asked == Asked::Compaction;
            self.log.emit(error_event(&error, attempt, goes_on)).await;
            let Some(wait) = wait else {
                return Err(Halt::Failed(error.kind, error.message));
            };
            self.pause(wait).await?;
            attempt += 1;
        }
    }

    /// One attempt. The outer error ends the run, the inner one may be tried again. What a failed
    /// attempt showed stays in the log as deltas; nothing of it enters the conversation.
    async fn attempt(&mut self, asked: Asked) -> Result<Result<Reply, ProviderError>, Halt> {
        let wanted = self.wanted_output_tokens();
        let allowed = self.budget.reserve(self.conversation.bytes(), wanted)?;
        let started = Instant::now();
        let mut reading = Reading::default();
        let outcome = {
            let request = match asked {
                Asked::Reply => self.conversation.request(allowed),
                Asked::Compaction => self.conversation.compaction(allowed),
            };
            let read = read_reply(self.provider, request, self.log, &mut reading);
            tokio::select! {
                outcome = read => Ok(outcome),
                () = self.cancel.cancelled() => Err(Halt::Cancelled),
                () = tokio::time::sleep_until(self.budget.deadline().into()) => {
                    Err(self.budget.time_is_over().into())
                }
            }
        };
        self.estimate_usage(&mut reading);
        // What a reply has cost is spent, whether it came to its end or not.
        let usd = self.budget.book(&reading.usage);
        self.conversation.measured(reading.usage.input_tokens);
        let stop = match outcome.map(|read| read.and_then(fits)) {
            Ok(Ok(stop)) => stop,
            Ok(Err(error)) => {
                self.lose(reading, usd).await;
                return Ok(Err(error));
            }
            Err(halt) => {
                self.lose(reading, usd).await;
                return Err(halt);
            }
        };
        tracing::info!(
            input_tokens = reading.usage.input_tokens,
            cached_percent = reading.usage.cached_percent(),
            output_tokens = reading.usage.output_tokens,
            usd,
            "the model replied"
        );
        let replied = Event::ModelReplied {
            stop,
            usage: reading.usage,
            usd,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let mut events = reading.unsaid;
        events.push(replied);
        let items = reading.items;
        let reply = Reply { items, stop };
        if asked == Asked::Compaction {
            self.log.emit_all(events).await;
            return Ok(Ok(reply));
        }
        self.record(reply, events).await.map(Ok)
    }

    /// Records what a reply has cost of which nothing stays: whoever goes on with the run counts the same.
    async fn lose(&self, reading: Reading, usd: Option<f64>) {
        let usage = reading.usage;
        let mut events = reading.unsaid;
        events.push(Event::ReplyLost { usage, usd });
        self.log.emit_all(events).await;
    }

    /// A budget in dollars must not stand still because a service does not say what a reply used.
    fn estimate_usage(&self, reading: &mut Reading) {
        let usage = &mut reading.usage;
        let is_said = usage.input_tokens > 0 || usage.output_tokens > 0;
        let has_begun = !reading.items.is_empty() || reading.written > 0;
        if is_said || !has_begun || !self.budget.has_prices() {
            return;
        }
        usage.input_tokens = self.conversation.tokens();
        // Of a reply that broke off there are only pieces.
        usage.output_tokens = tokens_of(&reading.items).max(reading.written / BYTES_PER_TOKEN);
        tracing::warn!("the service does not say what a reply used; an estimate counts");
    }

    /// As much as the model can write, within what its context has left.
    fn wanted_output_tokens(&self) -> u64 {
        let info = self.provider.info();
        let most = info.max_output_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS);
        let Some(context) = info.context_tokens else {
            return most;
        };
        let left = context.saturating_sub(self.conversation.tokens());
        most.min(left.max(MIN_OUTPUT_TOKENS))
    }

    /// Records what may stay of a reply, after `events`.
    async fn record(&mut self, reply: Reply, mut events: Vec<Event>) -> Result<Reply, Halt> {
        let refused = refused(&reply);
        if refused.is_none() {
            for item in &reply.items {
                self.conversation.push(item);
                events.push(Event::ItemAppended { item: item.clone() });
            }
        }
        self.log.emit_all(events).await;
        refused.map_or(Ok(reply), Err)
    }

    async fn pause(&self, wait: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.cancel.cancelled() => Err(Halt::Cancelled),
            () = tokio::time::sleep_until(self.budget.deadline().into()) => {
                Err(self.budget.time_is_over().into())
            }
        }
    }
}

/// What has arrived of a reply.
#[derive(Default)]
struct Reading {
    items: Vec<Item>,
    usage: TokenUsage,
    /// The bytes of what came piece by piece.
    written: u64,
    /// The end of its text: it goes into the log together with what follows.
    unsaid: Vec<Event>,
}

async fn read_reply(
    provider: &provider::Provider,
    request: &crate::conversation::ConversationRequest,
    log: &crate::log::EventLog,
    reading: &mut Reading,
) -> Result<StopReason, ProviderError> {
    let mut reply = provider.stream(request).await?;
    let mut text = Coalescer::default();
    let ended = loop {
        let delta = match text.due() {
            None => reply.next().await,
            Some(due) => match tokio::time::timeout_at(due.into(), reply.next()).await {
                Ok(delta) => delta,
                Err(_) => {
                    log.emit_all(text.take()).await;
                    continue;
                }
            },
        };
        reading.written += delta.as_ref().map_or(0, written);
        match delta {
            Some(Delta::Text { delta }) => text.push(Kind::Message, &delta),
            Some(Delta::Reasoning { delta }) => text.push(Kind::Reasoning, &delta),
            Some(Delta::Item { item }) => {
                reading.items.push(item);
                text.end_item();
            }
            Some(Delta::Usage { usage }) => reading.usage = usage,
            Some(
                Delta::Started { .. }
                | Delta::ToolCallStarted { .. }
                | Delta::ToolCallArguments { .. },
            ) => {}
            Some(Delta::End { stop, .. }) => break Ok(stop),
            Some(Delta::Error { error }) => break Err(error),
            None => break Err(ended_without_a_word()),
        }
        log.emit_all(text.take_due()).await;
    };
    reading.unsaid = text.take();
    ended
}

fn written(delta: &Delta) -> u64 {
    match delta {
        Delta::Text { delta }
        | Delta::Reasoning { delta }
        | Delta::ToolCallArguments { delta, .. } => delta.len() as u64,
        _ => 0,
    }
}

/// A reply that stopped because of its length is none.
fn fits(stop: StopReason) -> Result<StopReason, ProviderError> {
    match stop {
        StopReason::ContextOverflow => Err(overflow()),
        stop => Ok(stop),
    }
}

/// Why nothing of a reply may stay.
fn refused(reply: &Reply) -> Option<Halt> {
    match reply.stop {
        StopReason::Refusal => Some(Halt::Failed(
            FailureKind::Refusal,
            format!("the model refused: {}", reply.words()),
        )),
        _ => None,
    }
}

/// Whether the same conversation would be refused again, and another one might not.
fn needs_another_conversation(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::ContextOverflow | FailureKind::ReasoningRejected
    )
}

pub(super) fn error_event(error: &ProviderError, attempt: u32, retrying: bool) -> Event {
    Event::Error {
        kind: error.kind,
        message: error.message.clone(),
        retrying,
        attempt,
    }
}

/// How long to wait before the next attempt; nothing when another attempt is pointless.
fn wait_before_retry(error: &ProviderError, attempt: u32) -> Option<Duration> {
    let most = match error.kind {
        FailureKind::Overloaded | FailureKind::RateLimited => MAX_ATTEMPTS_WHEN_BUSY,
        _ => MAX_ATTEMPTS,
    };
    if !error.retryable || attempt >= most {
        return None;
    }
    if let Some(asked) = error.retry_after_ms {
        let asked = Duration::from_millis(asked);
        return (asked <= MAX_ASKED_WAIT).then_some(asked);
    }
    let doubled = FIRST_WAIT * 2u32.saturating_pow(attempt - 1);
    Some(doubled.min(MAX_WAIT).mul_f64(jitter()))
}

/// Between 0.75 and 1.25, so that runs which failed together do not come back together.
fn jitter() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |time| time.subsec_nanos());
    0.75 + f64::from(nanos % 1000) / 2000.0
}

fn overflow() -> ProviderError {
    ProviderError {
        kind: FailureKind::ContextOverflow,
        message: "the conversation no longer fits the model's context".to_owned(),
        retryable: false,
        retry_after_ms: None,
    }
}

fn ended_without_a_word() -> ProviderError {
    ProviderError {
        kind: FailureKind::Transport,
        message: "the provider's reply ended early".to_owned(),
        retryable: true,
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(retryable: bool, retry_after_ms: Option<u64>) -> ProviderError {
        ProviderError {
            kind: FailureKind::Overloaded,
            message: "no capacity".to_owned(),
            retryable,
            retry_after_ms,
        }
    }

    #[test]
    fn the_provider_s_own_wait_counts_up_to_a_bound() {
        let wait = |ms| wait_before_retry(&error(true, Some(ms)), 1);
        assert_eq!(wait(0), Some(Duration::ZERO));
        assert_eq!(wait(120_000), Some(Duration::from_secs(120)));
        assert_eq!(wait(120_001), None);
    }

    #[test]
    fn waits_grow_and_attempts_end() {
        let wait = |attempt| wait_before_retry(&error(true, None), attempt);
        assert!(wait(1) < wait(3));
        assert!(wait(MAX_ATTEMPTS).is_some() && wait(MAX_ATTEMPTS_WHEN_BUSY).is_none());
        let cut = ProviderError {
            kind: FailureKind::Transport,
            ..error(true, None)
        };
        assert_eq!(wait_before_retry(&cut, MAX_ATTEMPTS), None);
        assert_eq!(wait_before_retry(&error(false, None), 1), None);
    }
}
