//! A model that answers as it is recorded, and looks at what it is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use pullwright_core::provider::Provider;
use pullwright_core::run::Providers;
use pullwright_link::{RpcError, RpcPeer, RpcSubscription};
use pullwright_protocol::provider::{
    Delta, INFO_METHOD, ModelLimits, ProviderError, ProviderInfo, StreamRequest,
};
use pullwright_protocol::{FailureKind, Item, Provenance};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

use super::messages::Messages;
use super::plain::{Difference, Plain};
use super::recording::{Answer, Recording, Talk, workspace_of};
use super::verdict::WORKSPACE;

/// The models of a recording. A clone shares its place in it.
#[derive(Clone)]
pub(super) struct RecordedModels {
    recording: Arc<Recording>,
    recorded: Plain,
    now: Plain,
    messages: Arc<Messages>,
    state: Arc<Mutex<State>>,
    /// Fires when more is asked than is recorded.
    exhausted: CancellationToken,
}

/// How far a replay has come.
#[derive(Default)]
struct State {
    asked: usize,
    workspace: Option<String>,
    difference: Option<Difference>,
}

impl RecordedModels {
    /// Plays `recording`, in which `messages` are heard. Recorded texts and those of now are compared as these
    /// make them.
    #[must_use]
    pub(super) fn new(
        recording: Arc<Recording>,
        messages: Arc<Messages>,
        [recorded, now]: [Plain; 2],
    ) -> Self {
        Self {
            recording,
            recorded,
            now,
            messages,
            state: Arc::default(),
            exhausted: CancellationToken::new(),
        }
    }

    /// How many replies were asked for.
    #[must_use]
    pub(super) fn asked(&self) -> usize {
        self.state().asked
    }

    /// The first thing in which a request differs from the recorded one.
    #[must_use]
    pub(super) fn difference(&self) -> Option<Difference> {
        self.state().difference.clone()
    }

    /// What the model's workspace is called now.
    #[must_use]
    pub(super) fn workspace(&self) -> Option<String> {
        self.state().workspace.clone()
    }

    /// Fires when more is asked than is recorded. That request gets no answer.
    #[must_use]
    pub(super) fn exhausted(&self) -> &CancellationToken {
        &self.exhausted
    }

    fn answer(&self, request: &StreamRequest) -> Option<Vec<Delta>> {
        let mut state = self.state();
        let place = state.asked;
        state.asked += 1;
        if state.workspace.is_none() {
            let items: Vec<Item> = request
                .items
                .iter()
                .take(1)
                .map(|item| (**item).clone())
                .collect();
            state.workspace = workspace_of(&items).map(str::to_owned);
        }
        let answer = self.recording.answers.get(place)?;
        if state.difference.is_none() {
            let now = self.plain_now(state.workspace.as_deref());
            state.difference = self.compare(place, answer, request, &now);
        }
        Some(answer.deltas.clone())
    }

    fn plain_now(&self, workspace: Option<&str>) -> Plain {
        let mut now = self.now.clone();
        if let Some(workspace) = workspace {
            now.add(workspace, WORKSPACE);
        }
        now
    }

    /// The first thing in which a request differs, by its place in the conversation.
    fn compare(
        &self,
        place: usize,
        answer: &Answer,
        request: &StreamRequest,
        now: &Plain,
    ) -> Option<Difference> {
        let talk = &self.recording.talks[answer.talk];
        let told = &talk.items[..answer.told];
        let request_number = place + 1;
        let differs = |what: String, one: String, other: String| {
            let (one, other) = (self.recorded.text(&one), now.text(&other));
            let what = format!("{what} of request {request_number}");
            (one != other).then(|| Difference::between(what, &one, &other))
        };
        if let Some(differs) = compare_frozen(talk, request, &differs) {
            return Some(differs);
        }
        let of_now = |at: usize| request.items.get(at).map(shown);
        (0..told.len().max(request.items.len())).find_map(|at| {
            let what = format!("item {}", at + 1);
            let one = told.get(at).map(shown);
            differs(
                what,
                one.unwrap_or_default(),
                of_now(at).unwrap_or_default(),
            )
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system prompt and the tools.
fn compare_frozen(
    talk: &Talk,
    request: &StreamRequest,
    differs: &impl Fn(String, String, String) -> Option<Difference>,
) -> Option<Difference> {
    let system = differs(
        "the system prompt".to_owned(),
        talk.system.clone(),
        request.system.clone(),
    );
    if system.is_some() {
        return system;
    }
    let most = talk.tools.len().max(request.tools.len());
    (0..most).find_map(|at| {
        let (one, other) = (talk.tools.get(at), request.tools.get(at));
        let name = one.or(other).map(|tool| tool.name.clone());
        let what = format!("the tool `{}`", name.unwrap_or_default());
        let of = |tool| Option::map(tool, shown).unwrap_or_default();
        differs(what, of(one), of(other))
    })
}

fn shown<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[async_trait]
impl Providers for RecordedModels {
    async fn open(&self, row: &str, _: Option<&str>) -> Result<Provider, ProviderError> {
        let models = &self.recording.models;
        let model = models.iter().find(|(model, _)| model.provider == row);
        let Some((provenance, limits)) = model.cloned() else {
            return Err(ProviderError {
                kind: FailureKind::Config,
                message: format!("the recording has no answers of a provider `{row}`"),
                retryable: false,
                retry_after_ms: None,
            });
        };
        let said = self.messages.say_due().await;
        said.map_err(|error| ProviderError {
            kind: FailureKind::Internal,
            message: error.to_string(),
            retryable: false,
            retry_after_ms: None,
        })?;
        let models = self.clone();
        let peer = RecordedPeer {
            provenance,
            limits,
            models,
        };
        Provider::connect(Arc::new(peer)).await
    }
}

/// One of the models.
struct RecordedPeer {
    provenance: Provenance,
    limits: ModelLimits,
    models: RecordedModels,
}

impl RecordedPeer {
    fn info(&self) -> ProviderInfo {
        ProviderInfo {
            provenance: self.provenance.clone(),
            context_tokens: self.limits.context_tokens,
            max_output_tokens: self.limits.max_output_tokens,
            prices: self.limits.prices,
            compacts: self.limits.compacts,
        }
    }
}

#[async_trait]
impl RpcPeer for RecordedPeer {
    async fn call(&self, method: &str, _: &RawValue) -> Result<Box<RawValue>, RpcError> {
        match method {
            INFO_METHOD => json(&self.info()),
            _ => Err(self.refused(method, "a recording does not answer that")),
        }
    }

    async fn subscribe(
        &self,
        method: &str,
        params: &RawValue,
        _: &str,
    ) -> Result<RpcSubscription, RpcError> {
        let request = serde_json::from_str(params.get());
        let request = request.map_err(|error| self.refused(method, &error.to_string()))?;
        let answer = self.models.answer(&request);
        let said = self.models.messages.answered().await;
        said.map_err(|error| self.refused(method, &error.to_string()))?;
        let Some(deltas) = answer else {
            self.models.exhausted.cancel();
            return Ok(RpcSubscription::new(stream::pending()));
        };
        let deltas = deltas.into_iter().map(|delta| json(&delta));
        Ok(RpcSubscription::new(
            stream::iter(deltas.collect::<Vec<_>>()).boxed(),
        ))
    }
}

impl RecordedPeer {
    fn refused(&self, method: &str, message: &str) -> RpcError {
        RpcError::Refused {
            peer: format!("the recording of `{}`", self.provenance.provider),
            method: method.to_owned(),
            // "Invalid request" of JSON-RPC 2.0.
            code: -32600,
            message: message.to_owned(),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<Box<RawValue>, RpcError> {
    to_raw_value(value).map_err(|error| RpcError::Encode(error.to_string()))
}
