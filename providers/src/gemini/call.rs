//! A tool call whose arguments come in pieces, as Vertex streams them.

use pullwright_protocol::{RawJson, ToolCall};
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::event::PartialArg;

/// How deep the arguments may be: a deeper tree would exhaust the stack when it is written.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct StreamedCall {
    pub(super) call_id: String,
    pub(super) wire_id: Option<String>,
    pub(super) name: String,
    pub(super) signature: Option<String>,
    args: Value,
    /// A piece did not fit, so what was put together is not what the model meant.
    broken: bool,
}

impl StreamedCall {
    pub(super) fn new(
        call_id: String,
        wire_id: Option<String>,
        name: String,
        signature: Option<String>,
    ) -> Self {
        Self {
            call_id,
            wire_id,
            name,
            signature,
            args: Value::Object(Map::new()),
            broken: false,
        }
    }

    pub(super) fn extend(&mut self, pieces: Vec<PartialArg>) {
        for piece in pieces {
            self.broken |= self.put(piece).is_none();
        }
    }

    fn put(&mut self, piece: PartialArg) -> Option<()> {
        let place = place(&mut self.args, &piece.json_path)?;
        match (piece.string_value, place) {
            (Some(more), Value::String(text)) => text.push_str(&more),
            (Some(text), place @ Value::Null) => *place = Value::String(text),
            (Some(_), _) => return None,
            (None, place) => {
                *place = match (piece.number_value, piece.bool_value) {
                    (Some(number), _) => Value::Number(number),
                    (None, Some(truth)) => Value::Bool(truth),
                    (None, None) => Value::Null,
                }
            }
        }
        Some(())
    }

    /// The call, and its part if it can be sent back. Half a call must not run, so its argument text
    /// stays without the closing brace.
    pub(super) fn finish(self, complete: bool) -> (ToolCall, Option<RawJson>) {
        let mut arguments = self.args.to_string();
        let sound = complete && !self.broken;
        let native = if sound { self.part() } else { None };
        if !sound {
            arguments.pop();
        }
        let call = ToolCall {
            call_id: self.call_id,
            name: self.name,
            arguments,
        };
        (call, native)
    }

    fn part(&self) -> Option<RawJson> {
        let part = WholePart {
            function_call: WholeCall {
                id: self.wire_id.as_deref(),
                name: &self.name,
                args: &self.args,
            },
            thought_signature: self.signature.as_deref(),
        };
        to_raw_value(&part).ok().map(RawJson::from)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WholePart<'a> {
    function_call: WholeCall<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
struct WholeCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: &'a Value,
}

/// The value at a path such as `$.recipe.steps[0].name`, made where it is missing.
fn place<'v>(root: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut value = root;
    for step in steps(path)? {
        value = match step {
            Step::Key(key) => {
                if value.is_null() {
                    *value = Value::Object(Map::new());
                }
                value.as_object_mut()?.entry(key).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if value.is_null() {
                    *value = Value::Array(Vec::new());
                }
                let list = value.as_array_mut()?;
                // Lists grow one by one: a wild index must not fill our memory.
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
        };
    }
    Some(value)
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a JSON path made of names and indexes; none if it has anything else.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < MAX_DEPTH {
        let (step, after) = if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            (Step::Key(name[..end].to_owned()), &name[end..])
        } else {
            bracketed(rest.strip_prefix('[')?)?
        };
        steps.push(step);
        rest = after;
    }
    (rest.is_empty() && !steps.is_empty()).then_some(steps)
}

/// `0]` or `'a name']`, and what comes after it.
fn bracketed(rest: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(name) = rest.strip_prefix(quote) {
            let (name, after) = name.split_once(&format!("{quote}]"))?;
            return Some((Step::Key(name.to_owned()), after));
        }
    }
    let (index, after) = rest.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), after))
}
