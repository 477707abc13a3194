//! What a reply of the script expects of its request, so that scripts are tests too.

use std::sync::Arc;

use pullwright_protocol::item::joined_text;
use pullwright_protocol::provider::StreamRequest;
use pullwright_protocol::{Content, Item};
use serde::Deserialize;

/// How much of a text an error shows.
const SHOWN_CHARS: usize = 500;

/// Conditions on a request. The results are those since the model's last turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expectation {
    /// Each is part of some tool result.
    results_contain: Vec<String>,
    /// None is part of any tool result.
    results_lack: Vec<String>,
    /// Whether all tool results are errors (true), or none (false).
    results_are_errors: Option<bool>,
    /// Each is part of some user item of the conversation.
    user_contains: Vec<String>,
    /// Each is part of the system prompt.
    system_contains: Vec<String>,
    /// Each is the name of an offered tool.
    tools_include: Vec<String>,
}

struct ToolResult {
    text: String,
    is_error: bool,
}

/// Says which condition `request` does not meet.
pub(super) fn check(expect: &Expectation, request: &StreamRequest) -> Result<(), String> {
    check_results(expect, &last_results(&request.items))?;
    let user = texts_of_user(&request.items);
    require_all(&expect.user_contains, &user, "user item")?;
    let system = std::slice::from_ref(&request.system);
    require_all(&expect.system_contains, system, "system prompt")?;
    check_tools(expect, request)
}

fn check_results(expect: &Expectation, results: &[ToolResult]) -> Result<(), String> {
    let texts: Vec<String> = results.iter().map(|result| result.text.clone()).collect();
    require_all(&expect.results_contain, &texts, "tool result")?;
    for unwanted in &expect.results_lack {
        if let Some(text) = texts.iter().find(|text| text.contains(unwanted)) {
            return Err(format!(
                "no tool result should contain `{unwanted}`, but one is `{}`",
                shown(text)
            ));
        }
    }
    match expect.results_are_errors {
        Some(wanted) if results.iter().any(|result| result.is_error != wanted) => Err(format!(
            "every tool result should have is_error = {wanted}, but they are: {}",
            shown(&texts.join("` and `"))
        )),
        _ => Ok(()),
    }
}

fn check_tools(expect: &Expectation, request: &StreamRequest) -> Result<(), String> {
    let names: Vec<&str> = request
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    match expect
        .tools_include
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        Some(missing) => Err(format!(
            "no tool `{missing}` is offered, but: {}",
            names.join(", ")
        )),
        None => Ok(()),
    }
}

fn require_all(wanted: &[String], texts: &[String], what: &str) -> Result<(), String> {
    match wanted
        .iter()
        .find(|wanted| !texts.iter().any(|text| text.contains(*wanted)))
    {
        Some(missing) if texts.is_empty() => Err(format!(
            "expected a {what} with `{missing}`, but there is none"
        )),
        Some(missing) => Err(format!(
            "expected a {what} with `{missing}`, but there is: `{}`",
            shown(&texts.join("` and `"))
        )),
        None => Ok(()),
    }
}

fn last_results(items: &[Arc<Item>]) -> Vec<ToolResult> {
    let start = items
        .iter()
        .rposition(|item| item.is_from_model())
        .map_or(0, |last| last + 1);
    items[start..]
        .iter()
        .filter_map(|item| tool_result(item))
        .collect()
}

fn tool_result(item: &Item) -> Option<ToolResult> {
    match &item.content {
        Content::ToolResult {
            parts, is_error, ..
        } => Some(ToolResult {
            text: joined_text(parts),
            is_error: *is_error,
        }),
        _ => None,
    }
}

/// Whether some user item contains `text`.
pub(super) fn user_says(items: &[Arc<Item>], text: &str) -> bool {
    texts_of_user(items).iter().any(|said| said.contains(text))
}

fn texts_of_user(items: &[Arc<Item>]) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| match &item.content {
            Content::User { parts } => Some(joined_text(parts)),
            _ => None,
        })
        .collect()
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
