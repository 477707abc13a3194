//! A provider that plays a script file: for demos, tests and benchmarks.
//!
//! The reply to a request is the one at the position that the conversation has reached: its number
//! of assistant turns so far. So the same conversation always gets the same reply, after a restart
//! too. A conversation that started anew from a summary is an episode of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pullwright_protocol::provider::{Delta, ProviderError, ProviderInfo, StreamRequest};
use pullwright_protocol::{Content, Item, Provenance, ToolCall};

use crate::kit::{DeltaSender, Finish, Provider};

mod attempts;
mod expectation;
mod plan;
mod script;

use attempts::Attempts;
use expectation::{check, user_says};
use plan::{Act, Plan};
use script::Reply;
pub use script::{Script, ScriptError};

/// The name of this wire format.
pub(crate) const SCRIPTED_WIRE: &str = "scripted";

/// Plays a [`Script`].
#[derive(Debug)]
pub struct ScriptedProvider {
    info: ProviderInfo,
    source: String,
    plans: Vec<Plan>,
    /// Those of conversations that started anew, with what a user item says there.
    episodes: Vec<(String, Vec<Plan>)>,
    verify_replay: bool,
    piece_chars: usize,
    attempts: Attempts,
}

impl ScriptedProvider {
    /// Plays the script file at `path`, TOML or JSON by its extension. `name` is the row's name.
    ///
    /// # Errors
    /// [`ScriptError`], naming the file and the line.
    pub fn load(name: impl Into<String>, path: &Path) -> Result<Self, ScriptError> {
        let script = Script::load(path)?;
        Ok(Self::new(name, path.display().to_string(), script))
    }

    /// Plays `script`. `source` is how errors call it.
    pub fn new(name: impl Into<String>, source: impl Into<String>, script: Script) -> Self {
        let provenance = Provenance {
            provider: name.into(),
            wire: SCRIPTED_WIRE.to_owned(),
            model: script.model,
            account: None,
        };
        let plans = |replies: Vec<Reply>| -> Vec<Plan> {
            let numbered = replies.into_iter().enumerate();
            numbered
                .map(|(turn, reply)| Plan::new(turn, reply, &provenance))
                .collect()
        };
        let episodes = script.episodes.into_iter();
        let episodes = episodes
            .map(|episode| (episode.user_contains, plans(episode.replies)))
            .collect();
        let plans = plans(script.replies);
        Self {
            info: ProviderInfo {
                provenance,
                context_tokens: script.context_tokens,
                max_output_tokens: script.max_output_tokens,
                prices: script.prices,
                compacts: script.compacts,
            },
            source: source.into(),
            plans,
            episodes,
            verify_replay: script.verify_replay,
            piece_chars: script
                .piece_chars
                .map_or(usize::MAX, |piece| usize::from(piece.get())),
            attempts: Attempts::default(),
        }
    }

    /// The replies of the conversation that `items` belong to.
    fn plans_for(&self, items: &[Arc<Item>]) -> &[Plan] {
        let anew = self
            .episodes
            .iter()
            .find(|(text, _)| user_says(items, text));
        anew.map_or(&self.plans, |(_, plans)| plans)
    }

    fn plan_for<'a>(&self, plans: &'a [Plan], turn: usize) -> Result<&'a Plan, ProviderError> {
        plans.get(turn).ok_or_else(|| {
            plan::invalid(format!(
                "the script {} has {} replies and the conversation asks for reply {}; add one, or \
                 end the last one without a tool call",
                self.source,
                plans.len(),
                turn + 1
            ))
        })
    }

    fn check(
        &self,
        turn: usize,
        plans: &[Plan],
        request: &StreamRequest,
    ) -> Result<(), ProviderError> {
        check(&plans[turn].expect, request)
            .and_then(|()| self.check_replay(plans, request))
            .map_err(|what| plan::invalid(format!("{}, reply {}: {what}", self.source, turn + 1)))
    }

    /// What the model said must come back as it was said.
    fn check_replay(&self, plans: &[Plan], request: &StreamRequest) -> Result<(), String> {
        if !self.verify_replay {
            return Ok(());
        }
        let said = plans.iter().flat_map(Plan::items);
        let came_back = request.items.iter().filter(|item| is_of_a_turn(item));
        match said.zip(came_back).position(|(said, back)| said != &**back) {
            Some(index) => Err(format!("item {} of the model came back changed", index + 1)),
            None => Ok(()),
        }
    }

    async fn act(
        &self,
        act: &Act,
        attempt: u32,
        deltas: &DeltaSender,
    ) -> Result<(), ProviderError> {
        match act {
            Act::Text(text, item) => {
                self.in_pieces(text, deltas, |delta| Delta::Text { delta })
                    .await?;
                send_item(item, deltas).await
            }
            Act::Thinking(text, item) => {
                self.in_pieces(text, deltas, |delta| Delta::Reasoning { delta })
                    .await?;
                send_item(item, deltas).await
            }
            Act::Call(call, item) => {
                self.call(call, deltas).await?;
                send_item(item, deltas).await
            }
            Act::Compaction(item) => send_item(item, deltas).await,
            Act::Notice(message) => Ok(deltas.notice(message).await?),
            Act::Usage(usage) => Ok(deltas.send(Delta::Usage { usage: *usage }).await?),
            Act::Fault(fault) if fault.fires_at(attempt) => Err(fault.error()),
            Act::Fault(_) => Ok(()),
            Act::Delay(time) => {
                tokio::time::sleep(Duration::from_millis(*time)).await;
                Ok(())
            }
            // The reader's cancellation drops this future.
            Act::Hang => std::future::pending().await,
        }
    }

    async fn call(&self, call: &ToolCall, deltas: &DeltaSender) -> Result<(), ProviderError> {
        let call_id = call.call_id.clone();
        let name = call.name.clone();
        deltas
            .send(Delta::ToolCallStarted { call_id, name })
            .await?;
        self.in_pieces(&call.arguments, deltas, |delta| Delta::ToolCallArguments {
            call_id: call.call_id.clone(),
            delta,
        })
        .await
    }

    async fn in_pieces(
        &self,
        mut text: &str,
        deltas: &DeltaSender,
        delta: impl Fn(String) -> Delta,
    ) -> Result<(), ProviderError> {
        while !text.is_empty() {
            let end = text
                .char_indices()
                .nth(self.piece_chars)
                .map_or(text.len(), |(index, _)| index);
            let (piece, rest) = text.split_at(end);
            deltas.send(delta(piece.to_owned())).await?;
            text = rest;
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for ScriptedProvider {
    fn info(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(
        &self,
        request: StreamRequest,
        deltas: &DeltaSender,
    ) -> Result<Finish, ProviderError> {
        let turn = assistant_turns(&request.items);
        let plans = self.plans_for(&request.items);
        let plan = self.plan_for(plans, turn)?;
        self.check(turn, plans, &request)?;
        if request.compact && !plan.may_compact() {
            return Err(plan::invalid(format!(
                "{}, reply {}: a compaction was asked for",
                self.source,
                turn + 1
            )));
        }
        let attempt = if plan.counts_attempts() {
            self.attempts.count(&request)
        } else {
            1
        };
        let request_id = Some(format!("scripted-{}", turn + 1));
        deltas.send(Delta::Started { request_id }).await?;
        for act in plan.acts_for(&request) {
            self.act(act, attempt, deltas).await?;
        }
        Ok(plan.finish.clone())
    }
}

/// A turn is an unbroken row of items from the model.
fn assistant_turns(items: &[Arc<Item>]) -> usize {
    let mut from_model = false;
    let mut turns = 0;
    for item in items {
        turns += usize::from(is_of_a_turn(item) && !from_model);
        from_model = is_of_a_turn(item);
    }
    turns
}

/// What stands for an earlier conversation is no turn of this one.
fn is_of_a_turn(item: &Item) -> bool {
    item.is_from_model() && !matches!(item.content, Content::Opaque)
}

async fn send_item(item: &Item, deltas: &DeltaSender) -> Result<(), ProviderError> {
    let item = item.clone();
    Ok(deltas.send(Delta::Item { item }).await?)
}
