//! The provider seam: a JSON-RPC peer that streams a model's replies.

mod check;
mod notices;

use std::sync::Arc;
use std::time::Duration;

use pullwright_link::{RpcError, RpcPeer, RpcSubscription, to_params};
use pullwright_protocol::FailureKind;
use pullwright_protocol::provider::{
    Aside, CANCEL_METHOD, Delta, INFO_METHOD, ProviderError, ProviderInfo, STREAM_METHOD,
};

use crate::conversation::ConversationRequest;
use crate::log::EventLog;

use notices::Notices;

pub use check::{Finding, Verdict};

/// The longest wait for the next piece of a reply, or for a word that one is being made: a provider plugin
/// may know no bound of its own. The built-in ones give up earlier, and say more.
const MAX_SILENCE: Duration = Duration::from_secs(600);

/// A provider, reached over any link.
#[derive(Clone)]
pub struct Provider {
    info: ProviderInfo,
    peer: Arc<dyn RpcPeer>,
    notices: Option<Notices>,
}

/// One reply, as it arrives. Dropping it cancels the reply.
pub struct Reply {
    subscription: RpcSubscription,
    ended: bool,
    notices: Option<Notices>,
}

impl Provider {
    /// Asks the peer who it is.
    ///
    /// # Errors
    /// When the peer cannot be reached or does not speak the provider protocol.
    pub async fn connect(peer: Arc<dyn RpcPeer>) -> Result<Self, ProviderError> {
        let params = to_params(&serde_json::json!({})).map_err(broken)?;
        let answer = peer.call(INFO_METHOD, &params).await.map_err(broken)?;
        let info = serde_json::from_str(answer.get()).map_err(|error| ProviderError {
            kind: FailureKind::Transport,
            message: format!("the provider's answer to {INFO_METHOD} is not understood: {error}"),
            retryable: false,
            retry_after_ms: None,
        })?;
        Ok(Self {
            info,
            peer,
            notices: None,
        })
    }

    /// The same, whose notices go to the log of a run.
    #[must_use]
    pub(crate) fn telling(self, log: EventLog) -> Self {
        Self {
            notices: Some(Notices::new(log)),
            ..self
        }
    }

    /// The same, known by its row: a plugin may call itself otherwise, and who goes on with a run opens the
    /// row.
    #[must_use]
    pub(crate) fn of_row(mut self, row: &str) -> Self {
        row.clone_into(&mut self.info.provenance.provider);
        self
    }

    /// Who it is.
    #[must_use]
    pub fn info(&self) -> &ProviderInfo {
        &self.info
    }

    /// Asks for the next reply.
    ///
    /// # Errors
    /// When the provider refuses before its first delta.
    pub async fn stream(&self, request: &ConversationRequest) -> Result<Reply, ProviderError> {
        let params = to_params(request).map_err(broken)?;
        let subscription = self
            .peer
            .subscribe(STREAM_METHOD, &params, CANCEL_METHOD)
            .await
            .map_err(broken)?;
        Ok(Reply {
            subscription,
            ended: false,
            notices: self.notices.clone(),
        })
    }
}

impl Reply {
    /// The next delta; nothing after the last one. A stream that stops without a last delta ends
    /// in an error, never as if it were complete.
    pub async fn next(&mut self) -> Option<Delta> {
        if self.ended {
            return None;
        }
        let delta = loop {
            let next = tokio::time::timeout(MAX_SILENCE, self.subscription.next());
            let Ok(next) = next.await else {
                break Delta::Error { error: silent() };
            };
            match next {
                Some(Ok(raw)) => match read(raw.get()) {
                    Message::Delta(delta) => break delta,
                    Message::Aside(Aside::Alive) => {}
                    Message::Aside(Aside::Notice { message }) => {
                        tell(self.notices.as_ref(), &message).await;
                    }
                },
                Some(Err(error)) => {
                    break Delta::Error {
                        error: broken(error),
                    };
                }
                None => break cut("the provider ended its reply without saying so".to_owned()),
            }
        };
        self.ended = delta.is_last();
        Some(delta)
    }
}

fn silent() -> ProviderError {
    ProviderError {
        kind: FailureKind::Transport,
        message: format!("the provider was silent for {} s", MAX_SILENCE.as_secs()),
        retryable: true,
        retry_after_ms: None,
    }
}

async fn tell(notices: Option<&Notices>, message: &str) {
    match notices {
        Some(notices) => notices.tell(message).await,
        None => tracing::info!(message, "a notice of the provider"),
    }
}

/// One message of a reply's stream.
enum Message {
    Delta(Delta),
    Aside(Aside),
}

/// Deltas are many and asides few, so those are looked for first.
fn read(json: &str) -> Message {
    let delta = serde_json::from_str(json).map(Message::Delta);
    delta.unwrap_or_else(|error| match serde_json::from_str(json) {
        Ok(aside) => Message::Aside(aside),
        Err(_) => Message::Delta(cut(format!(
            "a delta of the provider is not understood: {error}"
        ))),
    })
}

fn cut(message: String) -> Delta {
    Delta::Error {
        error: ProviderError {
            kind: FailureKind::Transport,
            message,
            retryable: true,
            retry_after_ms: None,
        },
    }
}

/// A connection that broke may be opened again, and what was refused is refused again.
fn broken(error: RpcError) -> ProviderError {
    ProviderError {
        kind: FailureKind::Transport,
        retryable: matches!(error, RpcError::Closed { .. } | RpcError::TimedOut { .. }),
        message: format!("the provider cannot be reached: {error}"),
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use futures_util::stream;
    use pullwright_protocol::provider::StopReason;
    use serde_json::value::{RawValue, to_raw_value};

    use super::*;

    /// Says each of these a while after the one before, and then nothing.
    struct Slow(Vec<(Duration, Box<RawValue>)>);

    #[async_trait]
    impl RpcPeer for Slow {
        async fn call(&self, _: &str, _: &RawValue) -> Result<Box<RawValue>, RpcError> {
            let provenance =
                serde_json::json!({ "provider": "slow", "wire": "slow", "model": "m" });
            let info = serde_json::json!({ "provenance": provenance });
            Ok(to_raw_value(&info).unwrap())
        }

        async fn subscribe(
            &self,
            _: &str,
            _: &RawValue,
            _: &str,
        ) -> Result<RpcSubscription, RpcError> {
            let said: VecDeque<_> = self.0.iter().cloned().collect();
            let said = stream::unfold(said, |mut said| async move {
                let Some((wait, message)) = said.pop_front() else {
                    return std::future::pending().await;
                };
                tokio::time::sleep(wait).await;
                Some((Ok(message), said))
            });
            Ok(RpcSubscription::new(said))
        }
    }

    async fn first_of(said: Vec<(Duration, Box<RawValue>)>) -> Delta {
        let provider = Provider::connect(Arc::new(Slow(said))).await.unwrap();
        let mut conversation = crate::conversation::Conversation::new(String::new(), Vec::new());
        let mut reply = provider.stream(conversation.request(100)).await.unwrap();
        reply.next().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_is_waited_for_as_long_as_somebody_says_that_it_is_made() {
        let almost = MAX_SILENCE - Duration::from_secs(1);
        let alive = to_raw_value(&Aside::Alive).unwrap();
        let end = Delta::End {
            stop: StopReason::EndTurn,
            raw: "end".to_owned(),
        };
        let last = to_raw_value(&end).unwrap();
        let said = vec![(almost, alive.clone()), (almost, alive), (almost, last)];
        assert!(matches!(first_of(said).await, Delta::End { .. }));
        let silent = first_of(Vec::new()).await;
        let Delta::Error { error } = silent else {
            panic!("{silent:?}");
        };
        assert!(error.retryable && error.message.contains("silent for 600 s"));
    }
}
