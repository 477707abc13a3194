//! A server's list of tools: read page by page within bounds, and compared with an earlier one.

use std::collections::BTreeSet;

use rmcp::RoleClient;
use rmcp::model::{PaginatedRequestParams, Tool};
use rmcp::service::Peer;

use crate::tools::approval::Withheld;
use crate::tools::notice::ListChange;

/// The most pages of a list: a server whose pages never end would be listed for ever.
const MAX_PAGES: usize = 100;

/// The most tools of one server: more would fill any model's context.
const MAX_TOOLS: usize = 1000;

/// The most bytes of all definitions of one server, as JSON.
const MAX_LIST_BYTES: usize = 8 * 1024 * 1024;

/// The most bytes of one tool's schema of arguments, as JSON: a larger one would fill a model's
/// context, and a part of a schema is none.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// Lists a server's tools, sorted by name.
pub(super) async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Tool>, String> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut bytes = 0;
    let mut seen = BTreeSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor.clone());
        let page = peer.list_tools(cursor.is_some().then_some(params)).await;
        let page = page.map_err(|error| format!("its tools cannot be listed: {error}"))?;
        bytes += page.tools.iter().map(size_of).sum::<usize>();
        tools.extend(page.tools);
        if tools.len() > MAX_TOOLS || bytes > MAX_LIST_BYTES {
            return Err(format!(
                "it lists more than {MAX_TOOLS} tools or {MAX_LIST_BYTES} bytes of definitions"
            ));
        }
        let Some(next) = page.next_cursor else {
            tools.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(tools);
        };
        if !seen.insert(next.clone()) {
            return Err(format!(
                "its list of tools goes round in circles: the cursor `{}` came twice",
                short(&next)
            ));
        }
        cursor = Some(next);
    }
    Err(format!("its list of tools has more than {MAX_PAGES} pages"))
}

/// The tools whose schema no model could be shown.
pub(super) fn oversized(tools: &[Tool]) -> Vec<Withheld> {
    let sized = tools
        .iter()
        .map(|tool| (tool, json_len(&*tool.input_schema)));
    let oversized = sized.filter(|(_, bytes)| *bytes > MAX_SCHEMA_BYTES);
    oversized
        .map(|(tool, bytes)| Withheld {
            tool: tool.name.to_string(),
            reason: format!("its schema has {bytes} bytes, and {MAX_SCHEMA_BYTES} is the most"),
        })
        .collect()
}

/// How the tools that a conversation knows differ from those listed `now`.
pub(super) fn compare(known: &[Tool], now: &[Tool]) -> ListChange {
    let named =
        |tools: &'_ [Tool], name: &str| tools.iter().find(|tool| tool.name == name).cloned();
    let mut change = ListChange::default();
    for tool in known {
        match named(now, &tool.name) {
            None => change.removed.push(tool.name.to_string()),
            Some(other) if !is_same(tool, &other) => change.changed.push(tool.name.to_string()),
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|tool| named(known, &tool.name).is_none());
    change.added = new.map(|tool| tool.name.to_string()).collect();
    change
}

/// Whether a model that knows `a` would not be misled about `b`. Pictures and titles are for people.
fn is_same(a: &Tool, b: &Tool) -> bool {
    a.description == b.description
        && a.input_schema == b.input_schema
        && a.output_schema == b.output_schema
        && a.annotations == b.annotations
        && a.meta == b.meta
}

fn size_of(tool: &Tool) -> usize {
    json_len(tool)
}

fn json_len(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 2, |json| json.len())
}

fn short(cursor: &str) -> String {
    cursor.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str) -> Tool {
        let definition = json!({ "name": name, "description": description, "inputSchema": { "type": "object" } });
        serde_json::from_value(definition).unwrap()
    }

    #[test]
    fn lists_are_compared_by_what_a_model_knows() {
        let known = [tool("a", "one"), tool("b", "two"), tool("c", "three")];
        let mut titled = tool("a", "one");
        titled.title = Some("A".to_owned());
        let change = compare(&known, &[titled, tool("b", "other"), tool("d", "four")]);
        assert_eq!(change.changed, ["b"]);
        assert_eq!(change.removed, ["c"]);
        assert_eq!(change.added, ["d"]);
        assert!(compare(&known, &known).is_empty());
    }

    #[test]
    fn a_schema_that_is_too_large_is_named() {
        let mut huge = tool("huge", "");
        let text = "x".repeat(MAX_SCHEMA_BYTES);
        huge.input_schema =
            std::sync::Arc::new(json!({ "type": text }).as_object().unwrap().clone());
        let withheld = oversized(&[tool("small", ""), huge]);
        assert_eq!(withheld.len(), 1);
        assert_eq!(withheld[0].tool, "huge");
    }
}
