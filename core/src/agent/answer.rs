//! Answers the model's tool calls.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use pullwright_protocol::provider::StopReason;
use pullwright_protocol::{Content, Event, FailureKind, Item, Part, ToolCall, ToolView};
use rmcp::model::JsonObject;
use serde_json::Value;
use tokio::sync::mpsc;

use super::circles::Turn;
use super::{Agent, Halt};
use crate::tools::{Tool, ToolAnswer, ToolCallError};

/// How many read-only calls of one turn run side by side.
const PARALLEL_CALLS: usize = 8;

/// How many pieces of a tool's output may wait for the log before the tool waits too.
const QUEUED_OUTPUT: usize = 64;

/// The most text of one result that enters the conversation, in bytes: a foreign tool server may
/// know no bound.
const MAX_RESULT_BYTES: usize = 256 * 1024;

/// The most base64 of one result's pictures that enters the conversation: more than model APIs take
/// would end the run.
const MAX_PICTURE_BYTES: usize = 5 * 1024 * 1024;

/// The most parts of one result.
const MAX_RESULT_PARTS: usize = 64;

/// Answers a call of which nobody knows what became.
const INTERRUPTED: &str = "\
This call was interrupted: the server stopped while it was under way. It may have run as a whole, in \
part, or not at all. Look at what it left before you call it again.";

/// A call that is understood, or the reason why not.
enum Understood {
    Runnable {
        tool: Tool,
        arguments: JsonObject,
    },
    /// An earlier owner of the run may have run it.
    Interrupted {
        tool: Tool,
        arguments: JsonObject,
    },
    Refused(String),
}

impl Agent<'_> {
    /// Answers all calls of a turn that ended with `stop`, in order, and says whether any of them could be
    /// run, and what came of them. Neighbouring read-only calls run side by side.
    pub(super) async fn answer(
        &mut self,
        calls: Vec<Arc<ToolCall>>,
        stop: StopReason,
    ) -> Result<(bool, Turn), Halt> {
        let understood = self.understand_all(calls, stop);
        let is_of_use = understood.iter().any(|(_, call)| call.is_runnable());
        let turn = self.answer_all(&understood).await?;
        if understood.iter().any(|(_, call)| call.may_change_files()) {
            self.changed.notify_one();
        }
        Ok((is_of_use, turn))
    }

    /// Answers calls of which an earlier owner of the run may have run some. Those that only read run again.
    pub(super) async fn answer_interrupted(
        &mut self,
        calls: Vec<Arc<ToolCall>>,
        stop: StopReason,
    ) -> Result<(), Halt> {
        let understood = self.understand_all(calls, stop).into_iter();
        let understood: Vec<_> = understood
            .map(|(call, understood)| (call, understood.interrupted()))
            .collect();
        self.answer_all(&understood).await.map(drop)
    }

    async fn answer_all(
        &mut self,
        understood: &[(Arc<ToolCall>, Understood)],
    ) -> Result<Turn, Halt> {
        let mut turn = Turn::default();
        let groups = understood.chunk_by(|(_, a), (_, b)| a.is_read_only() && b.is_read_only());
        for group in groups {
            let this = &*self;
            let mut waiting = Vec::with_capacity(group.len());
            for (call, understood) in group {
                waiting.push(this.answer_one(call, understood));
            }
            let mut answers = stream::iter(waiting).buffered(PARALLEL_CALLS);
            let mut results = Vec::with_capacity(group.len());
            while let Some(answered) = answers.next().await {
                results.push(this.publish(answered?).await);
            }
            drop(answers);
            for ((call, _), result) in group.iter().zip(results) {
                turn.add(call, &result);
                self.conversation.push(&result);
            }
        }
        Ok(turn)
    }

    fn understand_all(
        &self,
        calls: Vec<Arc<ToolCall>>,
        stop: StopReason,
    ) -> Vec<(Arc<ToolCall>, Understood)> {
        let is_cut = stop == StopReason::MaxTokens;
        let last = calls.len().saturating_sub(1);
        let understand = |(at, call): (usize, Arc<ToolCall>)| {
            let understood = self.understand(&call, is_cut && at == last);
            (call, understood)
        };
        calls.into_iter().enumerate().map(understand).collect()
    }

    fn understand(&self, call: &ToolCall, may_be_cut: bool) -> Understood {
        let Some(tool) = self.tools.get(&call.name) else {
            let nearest = self.tools.nearest(&call.name).unwrap_or("none");
            return Understood::Refused(format!(
                "there is no tool `{}`; the nearest is `{nearest}`",
                call.name
            ));
        };
        let text = match call.arguments.trim() {
            "" => "{}",
            text => text,
        };
        let arguments = serde_json::from_str::<JsonObject>(text);
        if may_be_cut && arguments.as_ref().map_or(true, JsonObject::is_empty) {
            return Understood::Refused(format!(
                "your reply was cut off inside of this call of `{}` because it reached the token \
                 limit, so it was not run; call it again with less, such as one part of a long file",
                call.name
            ));
        }
        match arguments {
            Ok(arguments) => Understood::Runnable {
                tool: tool.clone(),
                arguments,
            },
            Err(error) => Understood::Refused(format!(
                "the arguments of `{}` are not a JSON object ({error}), so it was not run; \
                 call it again with valid JSON",
                call.name
            )),
        }
    }

    async fn answer_one(&self, call: &ToolCall, understood: &Understood) -> Result<Event, Halt> {
        let started = Instant::now();
        let answer = match understood {
            Understood::Refused(reason) => refusal(reason.clone()),
            Understood::Interrupted { .. } => refusal(INTERRUPTED.to_owned()),
            Understood::Runnable { tool, arguments } => {
                self.run(call, tool, arguments.clone()).await?
            }
        };
        let (server, tool, view, arguments) = match understood {
            Understood::Refused(_) => {
                let raw = Value::String(call.arguments.clone());
                (String::new(), call.name.clone(), ToolView::Plain, raw)
            }
            Understood::Runnable { tool, arguments }
            | Understood::Interrupted { tool, arguments } => {
                let server = tool.server.name().to_owned();
                let arguments = Value::Object(arguments.clone());
                (server, tool.name.clone(), tool.view.clone(), arguments)
            }
        };
        Ok(Event::ToolAnswered {
            call_id: call.call_id.clone(),
            server,
            tool,
            arguments,
            parts: bounded(answer.parts),
            is_error: answer.is_error,
            structured: answer.structured.filter(is_small),
            view,
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn run(
        &self,
        call: &ToolCall,
        tool: &Tool,
        arguments: JsonObject,
    ) -> Result<ToolAnswer, Halt> {
        let started = Event::ToolStarted {
            call_id: call.call_id.clone(),
            server: tool.server.name().to_owned(),
            tool: tool.name.clone(),
        };
        self.log.emit_soon(started).await;
        let (output, pieces) = mpsc::channel(QUEUED_OUTPUT);
        let calling = async {
            let meta = self.call_meta.clone();
            let answer = tool
                .server
                .call(&tool.name, arguments, meta, &output, self.cancel);
            let answer = answer.await;
            drop(output);
            answer
        };
        let showing = self.show_output(&call.call_id, pieces);
        let deadline = tokio::time::sleep_until(self.budget.deadline().into());
        let (answer, ()) = tokio::select! {
            both = async { tokio::join!(calling, showing) } => both,
            () = deadline => return Err(self.budget.time_is_over().into()),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(ToolCallError::Cancelled) => Err(Halt::Cancelled),
            Err(gone @ ToolCallError::Gone { .. }) if tool.server.is_required() => {
                Err(Halt::Failed(FailureKind::ToolServer, gone.to_string()))
            }
            Err(error) => Ok(refusal(error.to_string())),
        }
    }

    async fn show_output(&self, call_id: &str, mut pieces: mpsc::Receiver<String>) {
        while let Some(mut delta) = pieces.recv().await {
            while let Ok(more) = pieces.try_recv() {
                delta.push_str(&more);
            }
            let call_id = call_id.to_owned();
            self.log
                .emit(Event::ToolOutputDelta { call_id, delta })
                .await;
        }
    }

    /// Logs an answer and turns it into the item that answers the model.
    async fn publish(&self, answered: Event) -> Item {
        let item = result_item(&answered);
        self.log.emit(answered).await;
        item
    }
}

impl Understood {
    fn interrupted(self) -> Self {
        match self {
            Self::Runnable { tool, arguments } if !tool.read_only => {
                Self::Interrupted { tool, arguments }
            }
            other => other,
        }
    }

    fn is_runnable(&self) -> bool {
        matches!(self, Self::Runnable { .. })
    }

    fn may_change_files(&self) -> bool {
        self.is_runnable() && !self.is_read_only()
    }

    fn is_read_only(&self) -> bool {
        matches!(self, Self::Runnable { tool, .. } if tool.read_only)
    }
}

/// The conversation item of a [`Event::ToolAnswered`].
pub(crate) fn result_item(answered: &Event) -> Item {
    let (call_id, parts, is_error) = match answered {
        Event::ToolAnswered {
            call_id,
            parts,
            is_error,
            ..
        } => (call_id.clone(), parts.clone(), *is_error),
        _ => (String::new(), Vec::new(), true),
    };
    Item::neutral(Content::ToolResult {
        call_id,
        parts,
        is_error,
    })
}

fn refusal(reason: String) -> ToolAnswer {
    ToolAnswer {
        parts: vec![Part::text(reason)],
        structured: None,
        is_error: true,
    }
}

/// All parts of a result, cut to what a conversation can hold.
fn bounded(mut parts: Vec<Part>) -> Vec<Part> {
    let (mut text_room, mut picture_room) = (MAX_RESULT_BYTES, MAX_PICTURE_BYTES);
    let left_out = parts.len().saturating_sub(MAX_RESULT_PARTS);
    parts.truncate(MAX_RESULT_PARTS);
    let cut = |part| match part {
        Part::Text { text } => {
            let room = text_room;
            text_room = text_room.saturating_sub(text.len());
            Part::text(shortened(text, room))
        }
        Part::Image { data, .. } if data.len() > picture_room => {
            Part::text("[a picture too large to be shown; ask the tool for a smaller one]")
        }
        Part::Image { media_type, data } => {
            picture_room -= data.len();
            Part::Image { media_type, data }
        }
    };
    let mut parts: Vec<Part> = parts.into_iter().map(cut).collect();
    if left_out > 0 {
        parts.push(Part::text(format!(
            "[... {left_out} more parts left out. Ask the tool for less. ...]"
        )));
    }
    parts
}

fn shortened(text: String, room: usize) -> String {
    let whole = text.len();
    if whole <= room {
        return text;
    }
    let head = floor_boundary(&text, room / 2);
    let tail = floor_boundary(&text, whole - room / 2);
    let omitted = tail - head;
    format!(
        "{}\n[... {omitted} bytes left out of {whole}. Ask the tool for less. ...]\n{}",
        &text[..head],
        &text[tail..]
    )
}

/// A foreign server's structured result may have any size, and the log keeps it.
fn is_small(structured: &Value) -> bool {
    structured.to_string().len() <= MAX_RESULT_BYTES
}

fn floor_boundary(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_bounded_as_a_whole() {
        let parts = vec![Part::text("ä".repeat(MAX_RESULT_BYTES / 4)); 100];
        let bounded = bounded(parts);
        let text = pullwright_protocol::item::joined_text(&bounded);
        let notices = (MAX_RESULT_PARTS + 1) * 100;
        assert!(text.len() < MAX_RESULT_BYTES + notices, "{}", text.len());
        assert!(text.ends_with("[... 36 more parts left out. Ask the tool for less. ...]"));
    }

    #[test]
    fn a_huge_picture_becomes_a_sentence() {
        let picture = |bytes| Part::Image {
            media_type: "image/png".to_owned(),
            data: "A".repeat(bytes),
        };
        let bounded = bounded(vec![picture(100), picture(MAX_PICTURE_BYTES)]);
        assert_eq!(bounded[0], picture(100));
        assert!(matches!(&bounded[1], Part::Text { .. }));
    }
}
