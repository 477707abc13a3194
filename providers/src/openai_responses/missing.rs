//! Items that stand in the response at its end, and never came by themselves.

use pullwright_protocol::{Content, Item};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::OutputItem;
use super::output::content;
use crate::lenient::or_absent;

/// What tells one item of a response from another.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
struct Identity {
    #[serde(rename = "type", default, deserialize_with = "or_absent")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "or_absent")]
    id: Option<String>,
}

/// Those of `output` that are not among the `streamed` ones, each with its place.
pub(super) fn missing<'a>(
    output: Vec<&'a RawValue>,
    streamed: &[(u64, Item)],
) -> Vec<(u64, &'a RawValue)> {
    let mut output: Vec<(u64, &RawValue)> = (0..).zip(output).collect();
    if !streamed.is_empty() {
        output.retain(|(place, raw)| !is_streamed(*place, raw, streamed));
    }
    output
}

/// Some services give an item another id at the end, and some leave items out there, which moves the
/// places of the others; saying a thing twice would be worse than leaving it out.
fn is_streamed(place: u64, raw: &RawValue, streamed: &[(u64, Item)]) -> bool {
    let identity = Identity::of(raw);
    let item = serde_json::from_str::<OutputItem>(raw.get());
    let said = item.ok().map(content).filter(says_something);
    streamed.iter().any(|(streamed_place, item)| {
        let native = item.native.as_ref().map(|native| native.json.as_raw());
        let known = native.map(Identity::of).unwrap_or_default();
        let is_same = identity.id.is_some() && known.id == identity.id;
        let takes_its_place = *streamed_place == place && known.kind == identity.kind;
        is_same || takes_its_place || said.as_ref() == Some(&item.content)
    })
}

impl Identity {
    fn of(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }
}

/// Items that say nothing are not the same for that.
fn says_something(content: &Content) -> bool {
    match content {
        Content::Text { text } | Content::Reasoning { text } => !text.is_empty(),
        Content::ToolCall(_) => true,
        _ => false,
    }
}
