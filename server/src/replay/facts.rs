//! What matters of a log: what the model was told, what its calls gave, how the checks ended, and what came
//! of it all. Times, ids and what is only shown do not count.

use std::collections::HashMap;

use pullwright_core::agent::heard_item;
use pullwright_protocol::item::joined_text;
use pullwright_protocol::{CheckPhase, Content, Event, Item, Outcome, Part, ResetReason};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::plain::{Difference, Plain, around};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Fact {
    what: String,
    told: String,
}

/// The facts of a log, in order. Of how it ended, `ended` says what counts.
#[must_use]
pub(super) fn facts(events: &[Event], plain: &Plain, ended: &str) -> Vec<Fact> {
    let mut names = HashMap::new();
    let mut facts = Vec::new();
    for event in events {
        if let Event::ItemAppended { item } = event
            && let Content::ToolCall(call) = &item.content
        {
            names.insert(call.call_id.clone(), call.name.clone());
        }
        let fact = fact(event, &names, ended);
        facts.extend(fact.map(|(what, told)| Fact {
            what: plain.text(&what),
            told: plain.text(&told),
        }));
    }
    facts
}

/// How a run ended, where a change that is published counts as one that would be.
#[must_use]
pub(super) fn ended(outcome: Outcome) -> String {
    match outcome {
        Outcome::PullRequest | Outcome::BranchOnly => "a change, published".to_owned(),
        other => other.to_string(),
    }
}

/// What one log has and the other has not, in order.
#[must_use]
pub(super) fn compare(recorded: &[Fact], now: &[Fact]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, recorded, now) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (mut before, mut after) = (recorded[op.old_range()].iter(), now[op.new_range()].iter());
        loop {
            differences.push(match (before.next(), after.next()) {
                (None, None) => break,
                (Some(one), Some(other)) if one.what == other.what => {
                    Difference::between(one.what.clone(), &one.told, &other.told)
                }
                (one, other) => Difference {
                    what: "what happened".to_owned(),
                    recorded: one.map(Fact::shown),
                    now: other.map(Fact::shown),
                },
            });
        }
    }
    differences
}

impl Fact {
    fn shown(&self) -> String {
        format!("{}: {}", self.what, around(&self.told, 0))
    }
}

fn fact(event: &Event, names: &HashMap<String, String>, ended: &str) -> Option<(String, String)> {
    let fact = |what: &str, told: String| Some((what.to_owned(), told));
    match event {
        Event::CommandsChosen { setup, checks } => fact(
            "the commands",
            format!("setup {setup:?}, checks {checks:?}"),
        ),
        Event::ItemAppended { item } => told(item),
        Event::MessageHeard { text, .. } => told(&heard_item(text)),
        Event::ToolAnswered {
            call_id,
            arguments,
            parts,
            is_error,
            tool,
            ..
        } => {
            let name = names.get(call_id).unwrap_or(tool);
            let failed = if *is_error { "failed: " } else { "" };
            let told = format!("{failed}{}", shown(parts));
            Some((format!("the result of {name} {arguments}"), told))
        }
        Event::Checked { report } => {
            let when = match report.phase {
                CheckPhase::Before => "before the work",
                CheckPhase::After => "on the change",
            };
            let exit = match report.exit_code {
                Some(code) => format!("exit code {code}"),
                None => "no end in time".to_owned(),
            };
            let what = format!("the check `{}` {when}", report.command);
            Some((what, format!("{exit} on tree {}", report.tree)))
        }
        Event::ConversationReset { reason, .. } => match reason {
            ResetReason::TooLong => fact("the conversation starts anew", "it is long".to_owned()),
            ResetReason::ReasoningRejected => fact(
                "the conversation starts anew",
                "its reasoning is not taken".to_owned(),
            ),
        },
        Event::ProviderChanged { provenance, .. } => {
            fact("the model that goes on", provenance.model.clone())
        }
        Event::CircleFound { what, ends } => fact("a circle", format!("{what}, ends: {ends}")),
        Event::PatchStored {
            tree,
            files,
            during_work: false,
            ..
        } => fact("the change", format!("{files} files, tree {tree}")),
        Event::Done { .. } => fact("the end", ended.to_owned()),
        _ => None,
    }
}

fn told(item: &Item) -> Option<(String, String)> {
    match &item.content {
        Content::User { parts } => Some(("what the model is told".to_owned(), joined_text(parts))),
        _ => None,
    }
}

fn shown(parts: &[Part]) -> String {
    let each = parts.iter().map(|part| match part {
        Part::Text { text } => text.clone(),
        Part::Image { media_type, data } => format!("[{media_type} {data}]"),
    });
    each.collect::<Vec<_>>().join("\n")
}
