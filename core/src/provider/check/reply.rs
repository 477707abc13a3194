//! One reply, as it was heard.

use std::collections::{BTreeMap, BTreeSet};

use pullwright_protocol::provider::{Delta, TokenUsage};
use pullwright_protocol::{Content, Item, ToolCall};
use serde_json::{Map, Value};

use super::{Verdict, ensure, failed};

/// One reply, as it was heard.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) deltas: Vec<Delta>,
    pub(super) items: Vec<Item>,
    pub(super) usage: Option<TokenUsage>,
    pub(super) said_after_its_end: bool,
}

impl Heard {
    pub(super) fn sorted(mut self) -> Self {
        for delta in &self.deltas {
            match delta {
                Delta::Item { item } => self.items.push(item.clone()),
                Delta::Usage { usage } => self.usage = Some(*usage),
                _ => {}
            }
        }
        self
    }

    /// The rules of a reply.
    pub(super) fn in_order(&self) -> Result<(), Verdict> {
        let last = self.deltas.last().is_some_and(Delta::is_last);
        ensure(last, || {
            "the reply does not end in `end` or `error`".to_owned()
        })?;
        ensure(!self.said_after_its_end, || {
            "something follows the end of the reply".to_owned()
        })?;
        ensure(!self.items.is_empty(), || {
            "the reply has no items".to_owned()
        })?;
        let from_model = self.items.iter().all(Item::is_from_model);
        ensure(from_model, || {
            "an item of the reply is none of a model".to_owned()
        })?;
        self.text_is_whole()?;
        self.arguments_are_whole()
    }

    /// What was streamed is what the items say.
    fn text_is_whole(&self) -> Result<(), Verdict> {
        let streamed: String = self.deltas.iter().filter_map(text_of).collect();
        let whole = self.items.iter().filter_map(|item| match &item.content {
            Content::Text { text } => Some(text.as_str()),
            _ => None,
        });
        let whole: String = whole.collect();
        // Text need not be streamed, but what is streamed must be kept.
        ensure(streamed.is_empty() || streamed == whole, || {
            "the text of the items is not the text that was streamed".to_owned()
        })
    }

    fn arguments_are_whole(&self) -> Result<(), Verdict> {
        let streamed = self.streamed_arguments()?;
        for call in self.tool_calls() {
            let same = streamed
                .get(call.call_id.as_str())
                .is_none_or(|text| text.is_empty() || *text == call.arguments);
            ensure(same, || {
                format!(
                    "the arguments of `{}` are not those that were streamed",
                    call.call_id
                )
            })?;
        }
        Ok(())
    }

    fn streamed_arguments(&self) -> Result<BTreeMap<&str, String>, Verdict> {
        let mut streamed = BTreeMap::new();
        for delta in &self.deltas {
            match delta {
                Delta::ToolCallStarted { call_id, .. } => {
                    let twice = streamed.insert(call_id.as_str(), String::new()).is_some();
                    ensure(!twice, || format!("the call `{call_id}` begins twice"))?;
                }
                Delta::ToolCallArguments { call_id, delta } => {
                    let Some(text) = streamed.get_mut(call_id.as_str()) else {
                        let early = format!("arguments of `{call_id}` come before it begins");
                        return Err(failed(early));
                    };
                    text.push_str(delta);
                }
                _ => {}
            }
        }
        Ok(streamed)
    }

    /// The calls, each with arguments that are a JSON object and an id of its own.
    pub(super) fn calls(&self) -> Result<Vec<ToolCall>, Verdict> {
        let mut ids = BTreeSet::new();
        for call in self.tool_calls() {
            ensure(!call.call_id.is_empty(), || {
                "a tool call has no id".to_owned()
            })?;
            ensure(ids.insert(&call.call_id), || {
                format!("two tool calls have the id `{}`", call.call_id)
            })?;
            let object = serde_json::from_str::<Map<String, Value>>(&call.arguments);
            ensure(object.is_ok(), || {
                format!("the arguments of `{}` are no JSON object", call.call_id)
            })?;
        }
        Ok(self.tool_calls().cloned().collect())
    }

    fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.items.iter().filter_map(|item| match &item.content {
            Content::ToolCall(call) => Some(call),
            _ => None,
        })
    }
}

fn text_of(delta: &Delta) -> Option<&str> {
    match delta {
        Delta::Text { delta } => Some(delta),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use pullwright_protocol::provider::StopReason;

    use super::*;

    fn text(delta: &str) -> Delta {
        Delta::Text {
            delta: delta.to_owned(),
        }
    }

    fn item(content: Content) -> Delta {
        Delta::Item {
            item: Item::neutral(content),
        }
    }

    fn said(text: &str) -> Delta {
        item(Content::Text {
            text: text.to_owned(),
        })
    }

    fn call(id: &str, arguments: &str) -> Delta {
        item(Content::ToolCall(ToolCall {
            call_id: id.to_owned(),
            name: "note".to_owned(),
            arguments: arguments.to_owned(),
        }))
    }

    fn started(id: &str) -> Delta {
        Delta::ToolCallStarted {
            call_id: id.to_owned(),
            name: "note".to_owned(),
        }
    }

    fn arguments(id: &str, delta: &str) -> Delta {
        Delta::ToolCallArguments {
            call_id: id.to_owned(),
            delta: delta.to_owned(),
        }
    }

    fn end() -> Delta {
        Delta::End {
            stop: StopReason::EndTurn,
            raw: "stop".to_owned(),
        }
    }

    fn verdict(deltas: &[Delta]) -> String {
        let heard = Heard {
            deltas: deltas.to_vec(),
            ..Heard::default()
        };
        let heard = heard.sorted();
        let found = heard.in_order().and_then(|()| heard.calls().map(drop));
        match found {
            Ok(()) => "passed".to_owned(),
            Err(Verdict::Failed(reason)) => reason,
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn each_rule_can_be_broken() {
        let good = [
            text("a"),
            text("b"),
            said("ab"),
            started("1"),
            arguments("1", "{}"),
            call("1", "{}"),
            end(),
        ];
        assert_eq!(verdict(&good), "passed");
        assert_eq!(verdict(&[said("not streamed"), end()]), "passed");
        let user = item(Content::User { parts: Vec::new() });
        for (deltas, reason) in [
            (vec![said("a")], "does not end"),
            (vec![end()], "no items"),
            (
                vec![text("a"), said("b"), end()],
                "not the text that was streamed",
            ),
            (vec![user, end()], "none of a model"),
            (
                vec![arguments("1", "{}"), call("1", "{}"), end()],
                "before it begins",
            ),
            (
                vec![started("1"), started("1"), call("1", "{}"), end()],
                "begins twice",
            ),
            (
                vec![started("1"), arguments("1", "{}"), call("1", "{ }"), end()],
                "not those that were streamed",
            ),
            (vec![call("1", "[1]"), end()], "no JSON object"),
            (
                vec![call("1", "{}"), call("1", "{}"), end()],
                "two tool calls",
            ),
            (vec![call("", "{}"), end()], "has no id"),
        ] {
            let found = verdict(&deltas);
            assert!(found.contains(reason), "{found}, not {reason}");
        }
    }

    #[test]
    fn nothing_may_follow_the_end() {
        let heard = Heard {
            deltas: vec![said("a"), end()],
            said_after_its_end: true,
            ..Heard::default()
        };
        assert!(heard.sorted().in_order().is_err());
    }
}
