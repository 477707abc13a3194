//! What of a server's list is offered, and what is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::model::Tool;

use super::listing::oversized;
use super::options::ToolServerOptions;
use crate::tools::approval::{Approval, Withheld};
use crate::tools::notice::{ListChange, ToolNotice};

/// What a server lists, parted into what is offered and the names of the rest. What is offered is a
/// question of what a model may call; the pipeline's tools stay.
pub(super) fn partition(
    options: &ToolServerOptions,
    listed: Vec<Tool>,
) -> (Vec<Tool>, Vec<String>) {
    let offers = |tool: &Tool| crate::tools::role_of(tool).is_some() || options.offers(&tool.name);
    let (offered, hidden): (Vec<Tool>, Vec<Tool>) = listed.into_iter().partition(offers);
    let names = hidden.iter().map(|tool| tool.name.to_string());
    (offered, names.collect())
}

/// Our own servers need no approval; a schema of any size does not fit a conversation.
pub(super) async fn review(
    options: &ToolServerOptions,
    approval: &Arc<dyn Approval>,
    offered: &[Tool],
) -> Result<Vec<Withheld>, String> {
    let mut withheld = oversized(offered);
    if !options.builtin {
        withheld.extend(approved(options.name.clone(), approval, offered).await?);
    }
    Ok(withheld)
}

/// Reads and writes files, and may wait for another process.
async fn approved(
    server: String,
    approval: &Arc<dyn Approval>,
    offered: &[Tool],
) -> Result<Vec<Withheld>, String> {
    let (approval, offered) = (Arc::clone(approval), offered.to_vec());
    let reviewing = tokio::task::spawn_blocking(move || approval.review(&server, &offered));
    let reviewed = reviewing
        .await
        .map_err(|error| format!("the review of its tools broke off: {error}"))?;
    reviewed.map_err(|error| error.to_string())
}

/// The refusals of withheld tools, by name.
pub(super) fn held_back(held: &[Withheld]) -> impl Iterator<Item = (String, String)> {
    held.iter().map(|held| {
        let reason = format!("the tool `{}` is withheld: {}", held.tool, held.reason);
        (held.tool.clone(), reason)
    })
}

/// Names in the row's lists that the server does not have.
pub(super) fn unknown_names(options: &ToolServerOptions, listed: &[Tool]) -> Vec<ToolNotice> {
    let known = |name: &str| listed.iter().any(|tool| tool.name == name);
    let unknown = options.named_tools().filter(|(_, name)| !known(name));
    unknown
        .map(|(key, name)| ToolNotice::UnknownTool {
            key,
            name: name.to_owned(),
            nearest: nearest(name, listed),
        })
        .collect()
}

/// Why tools of the list are not called any more, by name.
pub(super) fn refusals(
    options: &ToolServerOptions,
    known: &[Tool],
    change: &ListChange,
    withheld: Result<Vec<Withheld>, String>,
) -> BTreeMap<String, String> {
    let name = &options.name;
    let removed = change.removed.iter().map(|tool| {
        let reason = format!("tool server `{name}` does not have the tool `{tool}` any more");
        (tool.clone(), reason)
    });
    let changed = change.changed.iter().map(|tool| {
        let reason = format!(
            "tool server `{name}` has changed what its tool `{tool}` is since this conversation \
             began, so it is not called; go on without it"
        );
        (tool.clone(), reason)
    });
    let held: Vec<Withheld> = withheld.unwrap_or_else(|reason| {
        let every = known.iter();
        every
            .map(|tool| Withheld {
                tool: tool.name.to_string(),
                reason: reason.clone(),
            })
            .collect()
    });
    // The approval knows best why a changed tool is refused.
    removed.chain(changed).chain(held_back(&held)).collect()
}

fn nearest(name: &str, listed: &[Tool]) -> Option<String> {
    let likeness = |tool: &&Tool| strsim::jaro_winkler(name, &tool.name);
    let best = listed
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    Some(best.name.to_string())
}
