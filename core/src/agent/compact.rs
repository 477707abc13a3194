//! Compaction: a conversation that no longer fits its model starts anew from a summary.
//!
//! Providers bind their reasoning to everything before it, so nothing is ever taken out of the middle:
//! the reset is whole, explicit and in the log. What survives is the task and what was asked for last, what
//! the model writes down about its work and its plan, and the last results as they were.

use std::collections::HashMap;
use std::fmt::Write as _;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::provider::StopReason;
use pullwright_protocol::{Content, Event, FailureKind, Item, ResetReason};

use super::ask::Asked;
use super::inbox::SAYS_NOW;
use super::{Agent, Halt, Reply};
use crate::conversation::{BYTES_PER_TOKEN, Conversation};

/// How full the context may become, in percent. The rest is for the reply, and for the summary.
const FULL_PERCENT: u64 = 80;

/// The part of the context that a transcript may take when even asking for a summary does not fit, in
/// percent.
const TRANSCRIPT_PERCENT: u64 = 40;

/// The context of a model that refused a conversation without ever having said how much it takes.
const UNKNOWN_CONTEXT_TOKENS: u64 = 32_000;

/// How many of the last results survive as they were.
const KEPT_RESULTS: usize = 3;

/// The part of the context that they may take together, in percent.
const RESULTS_PERCENT: u64 = 10;

/// The most of one kept result, in bytes, however large the context is.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// The most of one item in a transcript, in bytes: one huge result must not push out all the rest.
const MAX_TOLD_BYTES: usize = 2 * 1024;

/// Asks for the summary, within the conversation.
const SUMMARISE: &str = "\
This conversation is about to become too long and will start anew. Write down everything you need to \
finish the task without it, for yourself: what was asked, where the code that matters is, what you \
found out, what you changed so far and why, what you ran and how it ended, what does not work, and the \
plan of what is left, step by step. Name files, functions and commands exactly. Do not call a tool.";

/// Introduces a transcript to a model that has not seen the conversation.
const TRANSCRIPT: &str = "\
Below is the transcript of a conversation between you and your tools that became too long, shortened. \
Write down everything you need to finish the task without it, for yourself: what was asked, where the \
code that matters is, what you found out, what you changed so far and why, what you ran and how it \
ended, what does not work, and the plan of what is left, step by step. Name files, functions and \
commands exactly. Do not call a tool.";

/// Says what happened.
const GO_ON: &str = "\
The conversation about this task became too long and starts anew here. All changes so far are in the \
working tree.";

/// Introduces the summary.
const WRITTEN_DOWN: &str = "This is what you wrote down for yourself:";

impl Agent<'_> {
    /// Whether the next request would leave too little room for its reply.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.is_nearly_filled_by(self.conversation)
    }

    fn is_nearly_filled_by(&self, conversation: &Conversation) -> bool {
        let context = self.provider.info().context_tokens;
        context.is_some_and(|context| conversation.tokens() > percent(context, FULL_PERCENT))
    }

    /// Lets the model write down what matters, and starts the conversation anew with that.
    ///
    /// # Errors
    /// When the run must end: also when the task itself does not fit the model.
    pub(super) async fn compact(&mut self) -> Result<(), Halt> {
        // Who goes on with the run in between begins with this again.
        self.log.emit(Event::CompactionStarted).await;
        let shortened = self.shorten().await;
        self.log.emit(Event::CompactionEnded).await;
        shortened
    }

    async fn shorten(&mut self) -> Result<(), Halt> {
        let before = self.conversation.tokens();
        let said = self.conversation.items();
        let room = self.context_bytes(RESULTS_PERCENT);
        if let Some(compacted) = self.compacted().await? {
            let items = with_the_task(compacted, &said, continuation(None, &said, room));
            let anew = self.conversation.anew(&items);
            let is_shorter = anew.bytes() < self.conversation.bytes();
            if is_shorter && !self.is_nearly_filled_by(&anew) {
                self.reset(anew, items, before).await;
                return Ok(());
            }
        }
        let summary = self.summarise(&said).await?;
        let items = with_the_task(Vec::new(), &said, continuation(Some(&summary), &said, room));
        self.reset(self.conversation.anew(&items), items, before)
            .await;
        if self.is_nearly_full() {
            return Err(Halt::Failed(
                FailureKind::ContextOverflow,
                "the task alone nearly fills the model's context; choose a model with a larger one, \
                 or shorten the prompt"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// What the provider itself makes of the conversation, where it can and does.
    async fn compacted(&mut self) -> Result<Option<Vec<Item>>, Halt> {
        if !self.provider.info().compacts {
            return Ok(None);
        }
        match self.ask_until_answered(Asked::Compaction).await {
            Ok(Ok(reply)) => Ok(standing(reply)),
            Ok(Err(_)) | Err(Halt::Failed(..)) => Ok(None),
            Err(halt) => Err(halt),
        }
    }

    async fn summarise(&mut self, said: &[Item]) -> Result<String, Halt> {
        self.say(SUMMARISE).await;
        if let Some(summary) = self.summary().await? {
            return Ok(summary);
        }
        // Too long even for that: a fresh conversation about this one.
        let before = self.conversation.tokens();
        let room = self.context_bytes(TRANSCRIPT_PERCENT);
        let told = format!("{TRANSCRIPT}\n\n{}", transcript(said, room));
        let items = vec![Item::user(told)];
        self.reset(self.conversation.anew(&items), items, before)
            .await;
        self.summary().await?.ok_or_else(|| {
            Halt::Failed(
                FailureKind::ContextOverflow,
                "the conversation no longer fits the model's context, and the model could not \
                 summarise it"
                    .to_owned(),
            )
        })
    }

    /// The model's words, if it has any and the conversation fits.
    async fn summary(&mut self) -> Result<Option<String>, Halt> {
        let reply = self.ask_without_rejected_reasoning().await?;
        let words = reply.map(|reply| reply.words()).unwrap_or_default();
        Ok((!words.trim().is_empty()).then_some(words))
    }

    /// About how many bytes a part of the context holds.
    fn context_bytes(&self, part_percent: u64) -> usize {
        let context = self.provider.info().context_tokens;
        let tokens = percent(context.unwrap_or(UNKNOWN_CONTEXT_TOKENS), part_percent);
        usize::try_from(tokens * BYTES_PER_TOKEN).unwrap_or(usize::MAX)
    }

    async fn reset(&mut self, anew: Conversation, items: Vec<Item>, tokens_before: u64) {
        let reason = ResetReason::TooLong;
        self.start_anew(reason, anew, items, tokens_before).await;
    }

    /// Goes on with another conversation, which begins with `items`.
    pub(super) async fn start_anew(
        &mut self,
        reason: ResetReason,
        anew: Conversation,
        items: Vec<Item>,
        tokens_before: u64,
    ) {
        *self.conversation = anew;
        let event = Event::ConversationReset {
            reason,
            items,
            tokens_before,
            tokens_after: self.conversation.tokens(),
        };
        self.log.emit(event).await;
    }
}

fn percent(whole: u64, percent: u64) -> u64 {
    whole / 100 * percent
}

/// What of a provider's answer can stand for a conversation, if it is one that can: a model that was not
/// told to write a summary may go on with the task instead. A call would stay without a result, and
/// reasoning belongs to the conversation it was said in.
fn standing(reply: Reply) -> Option<Vec<Item>> {
    let is_whole = !matches!(
        reply.stop,
        StopReason::MaxTokens | StopReason::Refusal | StopReason::ContextOverflow
    );
    let goes_on = !reply.calls().is_empty();
    let items = reply.items.into_iter();
    let standing = items.filter(|item| match item.content {
        Content::User { .. } | Content::Opaque => true,
        Content::Text { .. } => !goes_on,
        _ => false,
    });
    let standing: Vec<Item> = standing.collect();
    (is_whole && !standing.is_empty()).then_some(standing)
}

/// What the conversation starts anew with: what a provider made of it, if one did, the task unless it
/// is in there already, and what the model goes on from.
fn with_the_task(mut anew: Vec<Item>, said: &[Item], continuation: String) -> Vec<Item> {
    let is_user = |item: &&Item| matches!(item.content, Content::User { .. });
    if !anew.iter().any(|item| is_user(&item)) {
        // The first one is the task, whichever conversation about it this is.
        let task = said.iter().find(is_user);
        let later = said.iter().rfind(|item| is_of_a_follow_up(item));
        let later = later.filter(|later| Some(*later) != task);
        anew.extend(task.into_iter().chain(later).cloned());
    }
    anew.push(Item::user(continuation));
    anew
}

/// Whether it says what is to be done with a change that was made before.
fn is_of_a_follow_up(item: &Item) -> bool {
    match &item.content {
        Content::User { parts } => joined_text(parts).contains(SAYS_NOW),
        _ => false,
    }
}

/// What the model goes on from: its own words, where nothing else stands for what was said, and the last
/// results word for word.
fn continuation(summary: Option<&str>, said: &[Item], room: usize) -> String {
    let mut text = GO_ON.to_owned();
    if let Some(summary) = summary {
        let _ = write!(text, " {WRITTEN_DOWN}\n\n{}", summary.trim());
    }
    let results = last_results(said, MAX_KEPT_BYTES.min(room / KEPT_RESULTS));
    if !results.is_empty() {
        text.push_str("\n\nThe last results of tools, as data:");
    }
    for result in results {
        let _ = write!(text, "\n\n{result}");
    }
    text
}

/// The last results, oldest first, each with the call it answers and in at most `room` bytes.
fn last_results(said: &[Item], room: usize) -> Vec<String> {
    let calls = calls_by_id(said);
    let results = said.iter().rev().filter_map(|item| match &item.content {
        Content::ToolResult { call_id, parts, .. } => {
            let call = calls.get(call_id.as_str()).copied().unwrap_or_default();
            let result = middle_out(&joined_text(parts), room);
            Some(format!("{call}\n{result}"))
        }
        _ => None,
    });
    let mut last: Vec<String> = results.take(KEPT_RESULTS).collect();
    last.reverse();
    last
}

fn calls_by_id(said: &[Item]) -> HashMap<&str, &str> {
    let calls = said.iter().filter_map(|item| match &item.content {
        Content::ToolCall(call) => Some((call.call_id.as_str(), call.name.as_str())),
        _ => None,
    });
    calls.collect()
}

/// The conversation as text in at most `room` bytes: its beginning, and as much of its end as fits.
fn transcript(said: &[Item], room: usize) -> String {
    let told: Vec<String> = said.iter().filter_map(told).collect();
    let Some((first, rest)) = told.split_first() else {
        return String::new();
    };
    let first = middle_out(first, room / 2);
    let mut left = room.saturating_sub(first.len());
    let from_the_end = rest.iter().rev().take_while(|line| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    });
    let mut kept: Vec<&String> = from_the_end.collect();
    kept.reverse();
    let left_out = rest.len() - kept.len();
    let mut text = first;
    if left_out > 0 {
        let _ = write!(text, "\n\n[... {left_out} items left out ...]");
    }
    for line in kept {
        let _ = write!(text, "\n\n{line}");
    }
    text
}

/// One item in a transcript. Reasoning belongs to the conversation it was said in.
fn told(item: &Item) -> Option<String> {
    let (who, what) = match &item.content {
        Content::User { parts } => ("User", joined_text(parts)),
        Content::Text { text } => ("You", text.clone()),
        Content::ToolCall(call) => ("You called", format!("{} {}", call.name, call.arguments)),
        Content::ToolResult { parts, .. } => ("Result", joined_text(parts)),
        Content::Reasoning { .. } | Content::Opaque => return None,
    };
    let room = match &item.content {
        Content::User { .. } => usize::MAX,
        _ => MAX_TOLD_BYTES,
    };
    Some(format!("{who}: {}", middle_out(&what, room)))
}

/// `text` in about `room` bytes: its beginning and its end.
fn middle_out(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(room / 2);
    let tail = text.ceil_char_boundary(text.len() - room / 2);
    let omitted = tail - head;
    format!(
        "{}\n[... {omitted} bytes left out ...]\n{}",
        &text[..head],
        &text[tail..]
    )
}

#[cfg(test)]
mod tests {
    use pullwright_protocol::ToolCall;

    use super::*;

    fn call(id: &str) -> Item {
        Item::neutral(Content::ToolCall(ToolCall {
            call_id: id.to_owned(),
            name: format!("tool_{id}"),
            arguments: "{}".to_owned(),
        }))
    }

    #[test]
    fn the_last_results_survive_with_the_calls_they_answer() {
        let mut said = vec![Item::user("task")];
        for id in ["a", "b", "c", "d"] {
            said.push(call(id));
            said.push(Item::tool_result(id, format!("result {id}"), false));
        }
        let text = continuation(Some("the plan"), &said, 10_000);
        assert!(text.contains("the plan"), "{text}");
        assert!(!text.contains("result a"), "{text}");
        assert!(
            text.ends_with("tool_b\nresult b\n\ntool_c\nresult c\n\ntool_d\nresult d"),
            "{text}"
        );
    }

    #[test]
    fn a_reply_that_goes_on_with_the_task_is_no_compaction() {
        let text = Item::neutral(Content::Text {
            text: "words".to_owned(),
        });
        let opaque = Item::neutral(Content::Opaque);
        let stands = |stop: StopReason, items: &[&Item]| {
            let items = items.iter().map(|item| (*item).clone()).collect();
            standing(Reply { items, stop }).map(|items| items.len())
        };
        let (end, cut) = (StopReason::EndTurn, StopReason::MaxTokens);
        assert_eq!(stands(end, &[&text]), Some(1));
        assert_eq!(stands(end, &[&text, &call("a")]), None);
        assert_eq!(stands(end, &[&text, &call("a"), &opaque]), Some(1));
        assert_eq!(stands(cut, &[&text, &opaque]), None);
        assert_eq!(stands(end, &[]), None);
    }

    #[test]
    fn a_transcript_keeps_its_beginning_and_its_end_within_its_room() {
        let mut said = vec![Item::user("the task")];
        for number in 0..100 {
            said.push(Item::tool_result(
                "x",
                format!("{number} {}", "é".repeat(5000)),
                false,
            ));
        }
        let text = transcript(&said, 10_000);
        assert!(text.starts_with("User: the task"), "{text}");
        assert!(text.contains("Result: 99 "), "{text}");
        assert!(text.contains("items left out"), "{text}");
        assert!(text.len() < 11_000, "{}", text.len());
        assert_eq!(transcript(&[], 100), "");
    }
}
