//! Holds a provider against the provider protocol.
//!
//! A real model decides what it replies, so a check may find nothing to look at: then it is not shown, and
//! neither passed nor failed.

mod reply;

use std::time::Duration;

use pullwright_link::{RpcError, to_params};
use pullwright_protocol::provider::{CANCEL_METHOD, Delta, STREAM_METHOD};
use pullwright_protocol::{Item, RawJson, ToolSpec};
use serde_json::json;
use tokio::time::timeout;

use super::Provider;
use crate::conversation::Conversation;
use reply::Heard;

/// How long one reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(180);

/// How long an error, or an answer that needs no model, may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The size of a large request, in bytes.
const LARGE_BYTES: usize = 1024 * 1024;

/// How long a slow reader waits before each delta.
const SLOW_PAUSE: Duration = Duration::from_millis(5);

/// The tool that the model is asked to call.
const TOOL: &str = "note";

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What was found.
    pub verdict: Verdict,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it must be.
    Passed,
    /// It is not, and why.
    Failed(String),
    /// There was nothing to look at, and why.
    NotShown(String),
}

impl Provider {
    /// Holds the provider against the protocol, one check after the other. Costs some small replies.
    pub async fn check(&self) -> Vec<Finding> {
        let checks: [(&'static str, Result<(), Verdict>); 9] = [
            ("it says who it is", self.check_info()),
            ("a reply is in order", self.check_reply().await),
            ("it says what a reply cost", self.check_usage().await),
            ("a tool call is in order", self.check_tool_call().await),
            (
                "cancelling stops a reply and nothing else",
                self.check_cancel().await,
            ),
            ("two replies at once do not mix", self.check_two().await),
            ("a slow reader loses nothing", self.check_slow().await),
            ("a large request is answered", self.check_large().await),
            (
                "what it does not know is an error",
                self.check_errors().await,
            ),
        ];
        let finding = |(check, found): (&'static str, Result<(), Verdict>)| Finding {
            check,
            verdict: found.err().unwrap_or(Verdict::Passed),
        };
        checks.into_iter().map(finding).collect()
    }

    fn check_info(&self) -> Result<(), Verdict> {
        let info = self.info();
        let names = [
            ("provider", &info.provenance.provider),
            ("wire", &info.provenance.wire),
            ("model", &info.provenance.model),
        ];
        for (key, name) in names {
            ensure(!name.is_empty(), || format!("`provenance.{key}` is empty"))?;
        }
        let limits = [info.context_tokens, info.max_output_tokens];
        ensure(!limits.contains(&Some(0)), || {
            "a limit of 0 tokens is none".to_owned()
        })
    }

    async fn check_reply(&self) -> Result<(), Verdict> {
        self.hear("Answer with one short sentence.", false)
            .await?
            .in_order()
    }

    async fn check_usage(&self) -> Result<(), Verdict> {
        match self.hear("Answer with one word.", false).await?.usage {
            Some(usage) if usage.output_tokens > 0 => Ok(()),
            Some(_) => Err(Verdict::Failed(
                "a reply of no output tokens is none".to_owned(),
            )),
            None => Err(Verdict::NotShown(
                "no usage was told, so no budget can be kept but turns and time".to_owned(),
            )),
        }
    }

    async fn check_tool_call(&self) -> Result<(), Verdict> {
        let mut conversation = conversation(true);
        let ask = format!("Call the tool `{TOOL}` with the text \"ready\", and say nothing else.");
        conversation.push(&Item::user(ask));
        let heard = self.listen(&mut conversation, Duration::ZERO).await?;
        heard.in_order()?;
        let calls = heard.calls()?;
        if calls.is_empty() {
            return Err(Verdict::NotShown("the model called no tool".to_owned()));
        }
        // What the model said goes back as it came, and the call is answered.
        heard.items.iter().for_each(|item| conversation.push(item));
        for call in calls {
            conversation.push(&Item::tool_result(call.call_id, "noted", false));
        }
        self.listen(&mut conversation, Duration::ZERO)
            .await?
            .in_order()
    }

    async fn check_cancel(&self) -> Result<(), Verdict> {
        let mut conversation = conversation(false);
        conversation.push(&Item::user("Count from 1 to 1000, one number a line."));
        let mut reply = self
            .stream(conversation.request(MAX_OUTPUT_TOKENS))
            .await
            .map_err(|error| failed(error.message))?;
        let first = timeout(REPLY_LIMIT, reply.next()).await;
        ensure(matches!(first, Ok(Some(_))), || {
            "nothing came of a reply".to_owned()
        })?;
        drop(reply);
        let again = timeout(ANSWER_LIMIT, self.again()).await;
        again.map_err(|_| failed("it does not answer any more once a reply is cancelled"))?
    }

    async fn check_two(&self) -> Result<(), Verdict> {
        let (one, other) = tokio::join!(
            self.hear("Answer with the word apple.", false),
            self.hear("Answer with the word stone.", false),
        );
        one?.in_order()?;
        other?.in_order()
    }

    async fn check_slow(&self) -> Result<(), Verdict> {
        let mut conversation = conversation(false);
        conversation.push(&Item::user("Write three sentences about rivers."));
        self.listen(&mut conversation, SLOW_PAUSE).await?.in_order()
    }

    async fn check_large(&self) -> Result<(), Verdict> {
        let large = "a line of no meaning\n".repeat(LARGE_BYTES / 21);
        let ask = format!("{large}\nAnswer with one word.");
        match self.hear(&ask, false).await {
            Ok(heard) => heard.in_order(),
            // A model may take less; what counts is that it says so.
            Err(Verdict::NotShown(reason)) => Err(Verdict::NotShown(reason)),
            Err(Verdict::Failed(reason)) if heard_of_limits(&reason) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn check_errors(&self) -> Result<(), Verdict> {
        let params = to_params(&json!({})).map_err(|error| failed(error.to_string()))?;
        let unknown = timeout(
            ANSWER_LIMIT,
            self.peer.call("provider.no_such_method", &params),
        )
        .await;
        match unknown {
            Ok(Err(RpcError::Refused { .. })) => {}
            Ok(_) => return Err(failed("a method that does not exist is not refused")),
            Err(_) => return Err(failed("a method that does not exist is not answered")),
        }
        let malformed =
            to_params(&json!({"items": "none"})).map_err(|error| failed(error.to_string()))?;
        let malformed = timeout(ANSWER_LIMIT, async {
            let mut stream = self
                .peer
                .subscribe(STREAM_METHOD, &malformed, CANCEL_METHOD)
                .await?;
            match stream.next().await {
                Some(Ok(delta)) => Ok(delta.get().contains("\"error\"")),
                Some(Err(error)) => Err(error),
                None => Ok(false),
            }
        })
        .await;
        match malformed {
            Ok(Ok(true) | Err(RpcError::Refused { .. })) => {}
            Ok(_) => return Err(failed("a request that is none is not refused")),
            Err(_) => return Err(failed("a request that is none is not answered")),
        }
        self.again().await
    }

    /// Whether it still answers.
    async fn again(&self) -> Result<(), Verdict> {
        let heard = self.hear("Answer with one word.", false).await?;
        heard.in_order()
    }

    async fn hear(&self, ask: &str, tools: bool) -> Result<Heard, Verdict> {
        let mut conversation = conversation(tools);
        conversation.push(&Item::user(ask));
        self.listen(&mut conversation, Duration::ZERO).await
    }

    /// All of a reply, read with a pause before each delta.
    async fn listen(
        &self,
        conversation: &mut Conversation,
        pause: Duration,
    ) -> Result<Heard, Verdict> {
        let request = conversation.request(MAX_OUTPUT_TOKENS);
        let listening = async {
            let reply = self.stream(request).await;
            let mut reply = reply.map_err(|error| failed(error.message))?;
            let mut heard = Heard::default();
            while let Some(delta) = reply.next().await {
                if let Delta::Error { error } = &delta {
                    return Err(failed(error.message.clone()));
                }
                heard.deltas.push(delta);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            // What comes after the end would be lost on everybody else.
            let after = timeout(AFTER_END, reply.subscription.next()).await;
            heard.said_after_its_end = matches!(after, Ok(Some(Ok(_))));
            Ok(heard.sorted())
        };
        let heard = timeout(REPLY_LIMIT, listening).await;
        heard.map_err(|_| {
            failed(format!(
                "no end of a reply within {} s",
                REPLY_LIMIT.as_secs()
            ))
        })?
    }
}

/// The most tokens asked for.
const MAX_OUTPUT_TOKENS: u64 = 1024;

/// How long to listen for what comes after a reply's end.
const AFTER_END: Duration = Duration::from_millis(50);

fn conversation(tools: bool) -> Conversation {
    let schema =
        json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let tool = ToolSpec {
        name: TOOL.to_owned(),
        description: "Notes a text.".to_owned(),
        input_schema: RawJson::from(&schema),
    };
    let tools = if tools { vec![tool] } else { Vec::new() };
    Conversation::new("You are being checked. Be brief.".to_owned(), tools)
}

fn heard_of_limits(reason: &str) -> bool {
    ["context", "long", "large", "limit"]
        .iter()
        .any(|word| reason.contains(word))
}

fn failed(reason: impl Into<String>) -> Verdict {
    Verdict::Failed(reason.into())
}

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Verdict> {
    if holds { Ok(()) } else { Err(failed(reason())) }
}
