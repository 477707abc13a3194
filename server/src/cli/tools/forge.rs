//! A forge, held against the contract of `pullwright_protocol::forge`.

use std::collections::BTreeSet;

use pullwright_core::config::{Runs, ToolConfig};
use pullwright_core::tools::{ToolDefinition, ToolServer, role_of};
use pullwright_protocol::forge::{
    CREDENTIAL_ROLE, ForgeRepository, ForgeRole, PREFLIGHT_ROLE, PULL_REQUEST_ROLE, forge_roles,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How the roles of a forge begin.
const PREFIX: &str = "forge.";

/// A host that is nobody's (RFC 2606), so that nothing is sent anywhere.
const FOREIGN_ORIGIN: &str = "https://another-forge.invalid";

/// What is wrong with a forge; nothing for a server that is none and should not be one.
pub(super) async fn problems(row: &ToolConfig, server: &ToolServer) -> Option<Vec<String>> {
    let of_forges =
        |tool: &&ToolDefinition| role_of(tool).is_some_and(|role| role.starts_with(PREFIX));
    let tools: Vec<&ToolDefinition> = server.tools().iter().filter(of_forges).collect();
    if tools.is_empty() && row.hosts.is_empty() {
        return None;
    }
    let mut found = problems_of_row(row);
    let roles = forge_roles();
    found.extend(tools.iter().filter_map(|tool| unknown_role(tool, &roles)));
    for role in &roles {
        let with_role = |tool: &&&ToolDefinition| role_of(tool) == Some(role.name);
        let with_role: Vec<_> = tools.iter().filter(with_role).collect();
        found.extend(problems_of_role(role, &with_role));
    }
    for role in [PREFLIGHT_ROLE, CREDENTIAL_ROLE] {
        found.extend(serves_anybody(server, role).await);
    }
    Some(found)
}

fn problems_of_row(row: &ToolConfig) -> Vec<String> {
    let mut found = Vec::new();
    if row.runs == Runs::Sandbox {
        let told = "a forge holds a token, so it runs on the host: write `runs = \"host\"`";
        found.push(told.to_owned());
    }
    if row.hosts.is_empty() {
        let told = "the row does not say which git hosts the forge serves: write them in `hosts`";
        found.push(told.to_owned());
    }
    found
}

fn unknown_role(tool: &ToolDefinition, roles: &[ForgeRole]) -> Option<String> {
    let named = role_of(tool)?;
    if roles.iter().any(|role| role.name == named) {
        return None;
    }
    let known: Vec<&str> = roles.iter().map(|role| role.name).collect();
    Some(format!(
        "the role `{named}` of `{}` is unknown; there are: {}",
        tool.name,
        known.join(", ")
    ))
}

fn problems_of_role(role: &ForgeRole, tools: &[&&ToolDefinition]) -> Vec<String> {
    let name = role.name;
    match tools {
        [] if !role.is_required => Vec::new(),
        [] if name == PULL_REQUEST_ROLE => vec![format!(
            "no tool has the role `{name}`, without which it is no forge and its `hosts` have none"
        )],
        [] => vec![format!(
            "no tool has the role `{name}`, which a forge must have"
        )],
        [tool] => unfit(role, tool),
        [first, second, ..] => vec![format!(
            "`{}` and `{}` have the role `{name}` both; one of them is never called",
            first.name, second.name
        )],
    }
}

/// Where a tool's schemas do not fit what it is called with and what it has to answer.
fn unfit(role: &ForgeRole, tool: &ToolDefinition) -> Vec<String> {
    let mut found = Vec::new();
    let (takes, given) = (
        Value::Object((*tool.input_schema).clone()),
        keys(&role.arguments),
    );
    for key in required(&takes).difference(&given) {
        found.push(format!(
            "`{}` requires the argument `{key}`, which `{}` is not called with",
            tool.name, role.name
        ));
    }
    if takes["additionalProperties"] == false {
        for key in given.difference(&keys(&takes)) {
            found.push(format!(
                "`{}` refuses the argument `{key}`, which `{}` is called with: ignore what is \
                 unknown",
                tool.name, role.name
            ));
        }
    }
    if let Some(answers) = &tool.output_schema {
        let answers = keys(&Value::Object((**answers).clone()));
        for key in required(&role.result).difference(&answers) {
            found.push(format!(
                "the answer of `{}` has no `{key}`, which `{}` must say",
                tool.name, role.name
            ));
        }
    }
    found
}

fn keys(schema: &Value) -> BTreeSet<String> {
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flat_map(Map::keys)
        .cloned()
        .collect()
}

fn required(schema: &Value) -> BTreeSet<String> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a role answers for a repository of a host that cannot be the forge's own.
async fn serves_anybody(server: &ToolServer, role: &str) -> Option<String> {
    let tool = server.tool_with_role(role)?;
    let foreign = ForgeRepository {
        origin: FOREIGN_ORIGIN.to_owned(),
        owner: "owner".to_owned(),
        name: "name".to_owned(),
    };
    let Value::Object(arguments) = json!(foreign) else {
        return None;
    };
    let (output, _) = mpsc::channel(1);
    let never = CancellationToken::new();
    let answer = server.call(tool, arguments, Default::default(), &output, &never);
    match answer.await {
        Ok(answer) if answer.is_error => None,
        Ok(_) => Some(format!(
            "`{tool}` answers for a repository of {FOREIGN_ORIGIN}: a forge must refuse those of \
             other origins, or its token goes there"
        )),
        Err(error) => Some(format!("`{tool}` does not answer: {error}")),
    }
}
