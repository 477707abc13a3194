//! `pullwright config`: the configuration itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use pullwright_core::config::{
    AppConfig, AppKey, Config, CredentialConfig, EditTool, GithubWebhookConfig, MovedBase,
    ProviderConfig, ProviderLink, Runs, SandboxConfig, ToolConfig, ToolLink, Verified, WireLink,
    config_schema,
};
use serde_json::{Value, json};

use super::{config, say};

#[derive(Args)]
pub(super) struct Settings {
    #[command(subcommand)]
    task: Task,
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// Read the configuration, and print what counts, defaults included and secrets not.
    Check,
    /// Print the JSON Schema of a configuration, for editors.
    Schema,
}

impl Settings {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.task {
            Task::Schema => {
                say(&serde_json::to_string_pretty(&config_schema())?);
                Ok(ExitCode::SUCCESS)
            }
            Task::Check => {
                let path = config::path(self.config.as_deref())?;
                let config = config::load(self.config.as_deref())?;
                let missing = missing_variables(&config);
                let effective = json!({
                    "file": path,
                    "config": effective(&config),
                    "database": config::database()?.map(|address| address.to_string()),
                    "missingVariables": missing,
                });
                say(&serde_json::to_string_pretty(&effective)?);
                // Only the rows that a run uses matter then, and serve says so for those.
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What counts. Of variables only the names.
fn effective(config: &Config) -> Value {
    let providers = config
        .providers
        .iter()
        .map(|(name, row)| (name.clone(), provider(row)));
    let tools = config
        .tools
        .iter()
        .map(|(name, row)| (name.clone(), tool(row)));
    let credentials = config
        .credentials
        .iter()
        .map(|(name, row)| (name.clone(), credential(row)));
    let proxies = config.server.access.trusted_proxies.iter();
    let proxies = proxies.map(ToString::to_string);
    json!({
        "agent": { "provider": config.agent.provider, "fallback": config.agent.fallback },
        "budget": {
            "max_usd": config.budget.max_usd,
            "max_tokens": config.budget.max_tokens,
            "max_turns": config.budget.max_turns,
            "max_minutes": config.budget.max_minutes,
            "max_parked_minutes": config.budget.max_parked_minutes,
        },
        "repositories": {
            "hosts": config.repositories.hosts,
            "clone": config.repositories.clone.as_str(),
            "max_clone_mb": config.repositories.max_clone_mb,
            "mirror_cache_mb": config.repositories.mirror_cache_mb,
            "min_free_mb": config.repositories.min_free_mb,
            "publish": config.repositories.publish,
            "moved_base": moved_base(config.repositories.moved_base),
        },
        "commit": {
            "name": config.commit.name,
            "email": config.commit.email,
            "co_authors": config.commit.co_authors,
            "verified": verified(config.commit.verified),
        },
        "pull_request": {
            "draft": config.pull_request.draft,
            "labels": config.pull_request.labels,
            "reviewers": config.pull_request.reviewers,
            "team_reviewers": config.pull_request.team_reviewers,
            "assignees": config.pull_request.assignees,
        },
        "credentials": credentials.collect::<serde_json::Map<_, _>>(),
        "setup": {
            "run": config.setup.run,
            "allow": config.setup.allow,
            "timeout_sec": config.setup.timeout_sec,
        },
        "checks": {
            "run": config.checks.run,
            "timeout_sec": config.checks.timeout_sec,
            "max_repairs": config.checks.max_repairs,
        },
        "policy": {
            "protected": config.policy.protected,
            "allow": config.policy.allow,
            "max_file_mb": config.policy.max_file_mb,
            "max_change_mb": config.policy.max_change_mb,
            "max_files": config.policy.max_files,
            "binary": config.policy.binary.as_str(),
            "noise": config.policy.noise.as_str(),
        },
        "providers": providers.collect::<serde_json::Map<_, _>>(),
        "tools": tools.collect::<serde_json::Map<_, _>>(),
        "sandbox": sandbox(&config.sandbox),
        "server": {
            "max_concurrent_runs": config.server.max_concurrent_runs,
            "lease_sec": config.server.lease_sec,
            "max_queued_runs": config.server.max_queued_runs,
            "max_queue_minutes": config.server.max_queue.as_secs() / 60,
            "max_runs_per_key": config.server.max_runs_per_key,
            "max_runs_per_repository": config.server.max_runs_per_repository,
            "shutdown_grace_sec": config.server.shutdown_grace.as_secs(),
            "max_prompt_chars": config.server.max_prompt_chars,
            "max_body_bytes": config.server.max_body_bytes,
            "public_url": config.server.public_url,
            "data_dir": config.server.data_dir,
            "require_keys": config.server.access.require_keys,
            "requests_per_minute": config.server.access.requests_per_minute,
            "request_burst": config.server.access.request_burst,
            "failed_auth_per_minute": config.server.access.failed_auth_per_minute,
            "trusted_proxies": proxies.collect::<Vec<_>>(),
            "allowed_origins": config.server.access.allowed_origins,
            "allowed_hosts": config.server.access.allowed_hosts,
            "keep_runs_days": config.server.keep_runs_days,
            "archive_dir": config.server.archive_dir,
            "token_key_env": config.server.token_key_env,
        },
        "webhooks": { "github": config.webhooks.github.as_ref().map(github_webhook) },
    })
}

fn github_webhook(webhook: &GithubWebhookConfig) -> Value {
    json!({
        "secret_env": webhook.secret_env,
        "label": webhook.label,
        "mention": webhook.mention,
        "repair_attempts": webhook.repair_attempts,
        "repositories": webhook.repositories,
        "provider": webhook.provider,
        "max_usd": webhook.max_usd,
        "max_runs": webhook.max_runs,
    })
}

fn moved_base(moved_base: MovedBase) -> &'static str {
    match moved_base {
        MovedBase::Rebase => "rebase",
        MovedBase::Merge => "merge",
        MovedBase::Keep => "keep",
    }
}

fn verified(verified: Verified) -> &'static str {
    match verified {
        Verified::Off => "off",
        Verified::WhenPossible => "when_possible",
        Verified::Always => "always",
    }
}

fn credential(row: &CredentialConfig) -> Value {
    json!({ "origin": row.origin, "username": row.username, "password_env": row.password_env })
}

fn provider(row: &ProviderConfig) -> Value {
    let mut said = match &row.link {
        ProviderLink::Wire(wire) => wire_link(wire),
        ProviderLink::Command {
            command,
            args,
            env,
            env_vars,
        } => {
            json!({ "command": command, "args": args, "env": names(env.keys()), "env_vars": env_vars })
        }
        ProviderLink::Url {
            url,
            bearer_token_env_var,
        } => json!({ "url": url, "bearer_token_env_var": bearer_token_env_var }),
        ProviderLink::Library { library, sha256 } => {
            json!({ "library": library, "sha256": sha256 })
        }
    };
    said["model"] = json!(row.model);
    said["max_output_tokens"] = json!(row.max_output_tokens);
    said["context_tokens"] = json!(row.context_tokens);
    said["edit_tool"] = json!(row.edit_tool.map(EditTool::as_str));
    said["prices"] = json!(row.prices);
    said
}

fn tool(row: &ToolConfig) -> Value {
    let mut said = match &row.link {
        ToolLink::Builtin(builtin) => json!({ "builtin": builtin }),
        ToolLink::Command { command, args, cwd } => {
            json!({ "command": command, "args": args, "cwd": cwd })
        }
        ToolLink::Url {
            url,
            bearer_token_env_var,
            http_headers,
            env_http_headers,
        } => json!({
            "url": url,
            "bearer_token_env_var": bearer_token_env_var,
            "http_headers": names(http_headers.keys()),
            "env_http_headers": env_http_headers,
        }),
        ToolLink::Library { library, sha256 } => json!({ "library": library, "sha256": sha256 }),
    };
    said["runs"] = json!(match row.runs {
        Runs::Sandbox => "sandbox",
        Runs::Host => "host",
    });
    said["startup_timeout_sec"] = json!(row.startup_timeout.as_secs_f64());
    said["tool_timeout_sec"] = json!(row.tool_timeout.as_secs_f64());
    said["enabled_tools"] = json!(row.enabled_tools);
    said["disabled_tools"] = json!(row.disabled_tools);
    said["required"] = json!(row.required);
    said["env"] = json!(names(row.env.keys()));
    said["env_vars"] = json!(row.env_vars);
    said["hosts"] = json!(row.hosts);
    said["base_url"] = json!(row.base_url);
    if let Some(app) = &row.app {
        said["app_id"] = json!(app.id);
        match &app.key {
            AppKey::Variable(variable) => said["app_key_env"] = json!(variable),
            AppKey::File(file) => said["app_key_file"] = json!(file),
        }
        said["app_workflows"] = json!(app.workflows);
    }
    let waits = [
        ("request_timeout_sec", row.waits.request),
        ("longest_wait_sec", row.waits.limit),
    ];
    for (key, wait) in waits {
        if let Some(wait) = wait {
            said[key] = json!(wait.as_secs_f64());
        }
    }
    said
}

fn sandbox(sandbox: &SandboxConfig) -> Value {
    let local = &sandbox.local;
    json!({
        "kind": sandbox.kind.name(),
        "memory_mb": sandbox.memory_mb,
        "network": { "allow": sandbox.network.allow, "private": sandbox.network.private },
        "command": sandbox.command.as_ref().map(|command| &command.argv),
        "env_vars": sandbox.command.as_ref().map(|command| &command.env_vars),
        "processes": local.processes,
        "cpus": local.cpus,
        "disk_mb": local.disk_mb,
        "file_mb": local.file_mb,
        "tmp_mb": local.tmp_mb,
        "open_files": local.open_files,
        "read_only": local.read_only,
        "path": local.path,
    })
}

/// The command that prints a key may hold secrets in its arguments, so only its program is shown.
fn wire_link(wire: &WireLink) -> Value {
    json!({
        "preset": wire.preset,
        "wire_api": wire.wire_api,
        "base_url": wire.base_url,
        "env_key": wire.env_key,
        "auth": wire.auth.as_ref().and_then(|auth| auth.command.first()),
        "env_http_headers": wire.env_http_headers,
        "effort": wire.effort,
        "quirks": wire.quirks,
        "script": wire.script,
    })
}

/// The variables that rows name and that are not set here, each with the rows.
fn missing_variables(config: &Config) -> Vec<Value> {
    let providers = config.providers.iter().flat_map(|(name, row)| {
        let variables = row.link.variables();
        let row = format!("providers.{name}");
        variables
            .into_iter()
            .map(move |variable| (row.clone(), variable))
    });
    let tools = config.tools.iter().flat_map(|(name, row)| {
        let mut variables: Vec<&String> = row.env_vars.iter().collect();
        variables.extend(row.app.as_ref().and_then(AppConfig::variable));
        if let ToolLink::Url {
            bearer_token_env_var,
            env_http_headers,
            ..
        } = &row.link
        {
            variables.extend(bearer_token_env_var);
            variables.extend(env_http_headers.values());
        }
        let row = format!("tools.{name}");
        variables
            .into_iter()
            .map(move |variable| (row.clone(), variable))
    });
    let credentials = config.credentials.iter();
    let credentials =
        credentials.map(|(name, row)| (format!("credentials.{name}"), &row.password_env));
    let is_missing =
        |variable: &str| std::env::var_os(variable).is_none_or(|value| value.is_empty());
    providers
        .chain(tools)
        .chain(credentials)
        .filter(|(_, variable)| is_missing(variable))
        .map(|(row, variable)| json!({ "variable": variable, "row": row }))
        .collect()
}

fn names<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    keys.collect()
}
