//! What is remembered of tool definitions, so that a server cannot quietly change what a model reads.
//!
//! A description is an instruction to the model. A server that was looked at once may serve another one
//! later, so every definition is recorded when it is first seen, and one that is new or another for a known
//! server is withheld until somebody accepts it.

mod canonical;
mod hidden;

use std::collections::BTreeMap;

use rmcp::model::Tool;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approval::Withheld;
use canonical::{canonical, fingerprint};
use hidden::hidden_characters;
pub use hidden::is_hidden;

/// The definitions of tool servers, by the names of their rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolLock {
    servers: BTreeMap<String, BTreeMap<String, Recorded>>,
}

/// A definition that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// Of the definition as canonical JSON.
    sha256: String,
    /// The definition itself, to show what changed.
    definition: Value,
}

/// How one tool differs from what is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolChange {
    /// Its name on its server.
    pub tool: String,
    /// The recorded definition, as readable JSON; nothing for a new tool.
    pub before: Option<String>,
    /// The definition now; nothing for a tool that is gone.
    pub now: Option<String>,
}

impl ToolLock {
    /// Whether anything is recorded of `server`.
    #[must_use]
    pub fn knows(&self, server: &str) -> bool {
        self.servers.contains_key(server)
    }

    /// Records what `server` lists now, instead of what was recorded before.
    pub fn record(&mut self, server: &str, definitions: &[Tool]) {
        let recorded = definitions.iter().map(|tool| {
            let definition = canonical(tool);
            let sha256 = fingerprint(&definition);
            let recorded = Recorded { sha256, definition };
            (tool.name.to_string(), recorded)
        });
        self.servers.insert(server.to_owned(), recorded.collect());
    }

    /// Takes over what another lock holds of `server`.
    pub fn adopt(&mut self, server: &str, other: &Self) {
        if let Some(tools) = other.servers.get(server) {
            self.servers.insert(server.to_owned(), tools.clone());
        }
    }

    /// How what `server` lists differs from what is recorded, by name.
    #[must_use]
    pub fn changes(&self, server: &str, definitions: &[Tool]) -> Vec<ToolChange> {
        let none = BTreeMap::new();
        let recorded = self.servers.get(server).unwrap_or(&none);
        let now: BTreeMap<&str, Value> = definitions
            .iter()
            .map(|tool| (tool.name.as_ref(), canonical(tool)))
            .collect();
        let mut changes: Vec<ToolChange> = now
            .iter()
            .filter_map(|(name, definition)| {
                let before = recorded.get(*name);
                let same = before.is_some_and(|before| before.sha256 == fingerprint(definition));
                (!same).then(|| ToolChange {
                    tool: (*name).to_owned(),
                    before: before.map(|before| readable(&before.definition)),
                    now: Some(readable(definition)),
                })
            })
            .collect();
        let gone = recorded
            .iter()
            .filter(|(name, _)| !now.contains_key(name.as_str()));
        changes.extend(gone.map(|(name, before)| ToolChange {
            tool: name.clone(),
            before: Some(readable(&before.definition)),
            now: None,
        }));
        changes
    }

    /// The tools of a known server that are not as recorded. A tool that is gone is no harm.
    #[must_use]
    pub fn withheld(&self, server: &str, definitions: &[Tool]) -> Vec<Withheld> {
        let changes = self.changes(server, definitions).into_iter();
        let withheld = changes.filter_map(|change| {
            let what = match (&change.before, &change.now) {
                (Some(_), Some(_)) => "its definition is not the one that was accepted",
                (None, Some(_)) => "the server did not have it when it was accepted",
                _ => return None,
            };
            Some(Withheld {
                tool: change.tool,
                reason: format!(
                    "{what}; `pullwright tools accept {server}` shows the difference and accepts it"
                ),
            })
        });
        withheld.collect()
    }
}

/// The tools whose name or description holds characters that a person does not see and a model does.
#[must_use]
pub fn with_hidden_characters(definitions: &[Tool]) -> Vec<Withheld> {
    let withheld = definitions.iter().filter_map(|tool| {
        let found = hidden_characters(&canonical(tool));
        (!found.is_empty()).then(|| Withheld {
            tool: tool.name.to_string(),
            reason: format!(
                "its definition holds characters that nobody sees: {}; it is never offered",
                found.join(", ")
            ),
        })
    });
    withheld.collect()
}

fn readable(definition: &Value) -> String {
    // A value prints as JSON by construction, so there is nothing to refuse.
    serde_json::to_string_pretty(definition).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str) -> Tool {
        let definition =
            json!({"name": name, "description": description, "inputSchema": {"type": "object"}});
        serde_json::from_value(definition).unwrap()
    }

    #[test]
    fn what_changed_or_came_later_is_withheld_and_what_went_is_not() {
        let mut lock = ToolLock::default();
        lock.record(
            "docs",
            &[tool("a", "reads"), tool("b", "writes"), tool("c", "goes")],
        );
        let now = [
            tool("a", "reads"),
            tool("b", "writes, and tells"),
            tool("d", "is new"),
        ];
        let withheld: Vec<String> = lock
            .withheld("docs", &now)
            .into_iter()
            .map(|held| held.tool)
            .collect();
        assert_eq!(withheld, ["b", "d"]);
        let changes = lock.changes("docs", &now);
        assert_eq!(changes.len(), 3);
        assert!(changes[0].now.as_ref().unwrap().contains("and tells"));
        assert_eq!((&changes[2].tool[..], &changes[2].now), ("c", &None));
        lock.record("docs", &now);
        assert!(lock.changes("docs", &now).is_empty());
        let read: ToolLock = serde_json::from_str(&serde_json::to_string(&lock).unwrap()).unwrap();
        assert!(read.changes("docs", &now).is_empty());
    }

    #[test]
    fn hidden_characters_are_named() {
        let withheld = with_hidden_characters(&[
            tool("a", "plain, with an é and a 😀"),
            tool("b", "reads\u{200b} files"),
            tool("c", "reads \u{e0041}\u{e0042}"),
            tool("d", "reads \u{202e}"),
        ]);
        let names: Vec<&str> = withheld.iter().map(|held| held.tool.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
        assert!(
            withheld[0].reason.contains("U+200B"),
            "{}",
            withheld[0].reason
        );
    }
}
