//! Which sandboxes a client asks for.

use std::sync::Arc;

use pullwright_sandbox::modal::wire::client::{SandboxInfo, SandboxListRequest, TaskInfo};

use crate::apps::environment;
use crate::machine::Machine;

/// Those that are wanted of `all`, the newest first: clients ask on from the last one's time.
pub(super) fn wanted(request: &SandboxListRequest, all: Vec<Arc<Machine>>) -> Vec<SandboxInfo> {
    // An app is in one environment, so whoever names the app need not name that.
    let environment = match request.environment_name.as_str() {
        "" if !request.app_id.is_empty() => None,
        name => Some(environment(name)),
    };
    let mut sandboxes: Vec<SandboxInfo> = Vec::new();
    for machine in all {
        let tags = machine
            .tags
            .lock()
            .map(|tags| tags.clone())
            .unwrap_or_default();
        let is_wanted = (request.app_id.is_empty() || request.app_id == machine.app_id)
            && environment.is_none_or(|environment| environment == machine.environment)
            && (request.include_finished || machine.ended().is_none())
            && (request.before_timestamp <= 0.0 || machine.created_at < request.before_timestamp)
            && request.tags.iter().all(|tag| tags.contains(tag));
        if is_wanted {
            sandboxes.push(SandboxInfo {
                id: machine.id.clone(),
                created_at: machine.created_at,
                task_info: Some(TaskInfo {
                    id: machine.task_id.clone(),
                    result: machine.ended(),
                    ..TaskInfo::default()
                }),
                app_id: machine.app_id.clone(),
                tags,
                ..SandboxInfo::default()
            });
        }
    }
    sandboxes.sort_by(|a, b| b.created_at.total_cmp(&a.created_at));
    sandboxes
}
