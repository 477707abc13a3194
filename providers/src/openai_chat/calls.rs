//! Tool calls put together from their pieces. Services number and name them in their own ways.

use pullwright_protocol::provider::Delta;
use pullwright_protocol::{RawJson, ToolCall};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::event::CallPiece;
use crate::call_ids::CallIds;

/// The calls of one reply, in the order in which they began.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    ids: CallIds,
    open: Vec<OpenCall>,
}

#[derive(Clone, Debug)]
struct OpenCall {
    index: Option<u64>,
    /// The id that the service gave.
    given: Option<String>,
    call: ToolCall,
    extra: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Native<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: NativeFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct NativeFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl Calls {
    pub(super) fn new(ids: CallIds) -> Self {
        Self {
            ids,
            open: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn take(
        &mut self,
        piece: &CallPiece<'_>,
        out: &mut Vec<Delta>,
    ) -> serde_json::Result<()> {
        let id = piece.id.clone().filter(|id| !id.is_empty());
        let (name, arguments) = match &piece.function {
            Some(function) => (function.name.clone(), function.arguments),
            None => (None, None),
        };
        let name = name.filter(|name| !name.is_empty());
        let place = self
            .continued(piece.index, id.as_deref(), name.as_deref())
            .unwrap_or_else(|| self.begin(piece.index, id.clone()));
        let open = &mut self.open[place];
        open.given = open.given.take().or(id);
        if let Some(extra) = piece.extra_content {
            open.extra = Some(extra.to_owned());
        }
        let begins = open.call.name.is_empty();
        if let Some(name) = name.filter(|_| begins) {
            open.call.name = name;
            out.extend(open.started());
        }
        if let Some(delta) = arguments.map(text).transpose()?
            && !delta.is_empty()
        {
            open.call.arguments.push_str(&delta);
            // What came before the name was announced with it.
            if !open.call.name.is_empty() {
                out.push(Delta::ToolCallArguments {
                    call_id: open.call.call_id.clone(),
                    delta,
                });
            }
        }
        Ok(())
    }

    /// The call that a piece belongs to, unless it begins one. An id says it best, then the index;
    /// but some give all calls the same index, and some a new id to every piece.
    fn continued(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        if let Some(id) = id
            && let Some(place) = self.last(|open| open.given.as_deref() == Some(id))
        {
            // Some give every call the same id, but a number of its own.
            let known = self.open[place].index;
            let is_another = name.is_some() && index.is_some() && known.is_some() && index != known;
            if !is_another {
                return Some(place);
            }
        }
        let place = match index {
            Some(_) => self.last(|open| open.index == index)?,
            None => self.open.len().checked_sub(1)?,
        };
        let open = &self.open[place];
        let is_named = !open.call.name.is_empty();
        let begins_another = is_named && name.is_some();
        (!begins_another).then_some(place)
    }

    fn last(&self, is_it: impl Fn(&OpenCall) -> bool) -> Option<usize> {
        self.open.iter().rposition(is_it)
    }

    fn begin(&mut self, index: Option<u64>, given: Option<String>) -> usize {
        // Results are told apart by it.
        let is_taken = |id: &String| self.open.iter().any(|open| open.call.call_id == *id);
        let own = given.clone().filter(|id| !is_taken(id));
        let call = ToolCall {
            call_id: self.ids.id(own),
            name: String::new(),
            arguments: String::new(),
        };
        self.open.push(OpenCall {
            index,
            given,
            call,
            extra: None,
        });
        self.open.len() - 1
    }

    /// The calls and their native JSON.
    pub(super) fn finish(&mut self) -> Vec<(ToolCall, Option<RawJson>)> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().map(OpenCall::finish).collect()
    }
}

impl OpenCall {
    fn started(&self) -> Vec<Delta> {
        let call_id = self.call.call_id.clone();
        let mut deltas = vec![Delta::ToolCallStarted {
            call_id: call_id.clone(),
            name: self.call.name.clone(),
        }];
        if !self.call.arguments.is_empty() {
            deltas.push(Delta::ToolCallArguments {
                call_id,
                delta: self.call.arguments.clone(),
            });
        }
        deltas
    }

    /// No arguments at all are an empty object.
    fn finish(mut self) -> (ToolCall, Option<RawJson>) {
        if self.call.arguments.trim().is_empty() {
            "{}".clone_into(&mut self.call.arguments);
        }
        let native = to_raw_value(&Native {
            id: &self.call.call_id,
            kind: "function",
            function: NativeFunction {
                name: &self.call.name,
                arguments: &self.call.arguments,
            },
            extra_content: self.extra.as_deref(),
        });
        (self.call, native.ok().map(RawJson::from))
    }
}

/// Arguments come as text, of JSON; some services send the JSON itself.
fn text(arguments: &RawValue) -> serde_json::Result<String> {
    match arguments.get() {
        text if text.starts_with('"') => serde_json::from_str(text),
        json => Ok(json.to_owned()),
    }
}
