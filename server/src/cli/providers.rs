//! `pullwright providers`: the models of a configuration, without a run.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use pullwright_core::config::{Config, ProviderConfig, ProviderLink};
use pullwright_core::conversation::Conversation;
use pullwright_core::provider::{Finding, Provider as Model, Verdict};
use pullwright_protocol::Item;
use pullwright_protocol::provider::{Delta, TokenUsage};
use pullwright_providers::{ScriptedProvider, rpc_module, serve_stdio};
use serde_json::{Value, json};

use super::{complain, config, say};
use crate::compose;

/// The most tokens of an answer where the row does not say what its model can do.
const DEFAULT_OUTPUT_TOKENS: u64 = 8_000;

#[derive(Args)]
pub(super) struct Providers {
    #[command(subcommand)]
    task: Task,
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// List the models and how they are reached.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a model one question.
    Ask {
        /// The row.
        name: String,
        /// The question.
        prompt: String,
        /// Another model than the row's own.
        #[arg(long)]
        model: Option<String>,
    },
    /// Hold a provider against the provider protocol. Costs some small replies.
    Check {
        /// The row.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Providers {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = config::load(self.config.as_deref())?;
        match self.task {
            Task::List { json } => list(&config, json),
            Task::Ask {
                name,
                prompt,
                model,
            } => ask(config, &name, &prompt, model.as_deref()).await,
            Task::Check { name, json } => check(config, &name, json).await,
        }
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let rows: Vec<Value> = config
        .providers
        .iter()
        .map(|(name, row)| describe(name, row))
        .collect();
    if json {
        say(&Value::from(rows).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let missing = match row["missing"]
            .as_array()
            .is_some_and(|missing| !missing.is_empty())
        {
            true => format!("  missing: {}", row["missing"]),
            false => String::new(),
        };
        say(&format!(
            "{}  {}  {}{missing}",
            text("name"),
            text("link"),
            text("model")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Without any value of the environment.
fn describe(name: &str, row: &ProviderConfig) -> Value {
    let link = match &row.link {
        ProviderLink::Wire(wire) => match &wire.preset {
            Some(preset) => format!("{preset} ({})", wire.wire_api),
            None => wire.wire_api.clone(),
        },
        ProviderLink::Command { command, .. } => format!("command {command}"),
        ProviderLink::Url { url, .. } => format!("url {url}"),
        ProviderLink::Library { library, .. } => format!("library {}", library.display()),
    };
    let variables = row.link.variables();
    let is_missing =
        |name: &&&String| std::env::var_os(name.as_str()).is_none_or(|value| value.is_empty());
    let missing: Vec<&&String> = variables.iter().filter(is_missing).collect();
    json!({ "name": name, "link": link, "model": row.model, "missing": missing })
}

async fn open(config: Config, name: &str, model: Option<&str>) -> anyhow::Result<Model> {
    if !config.providers.contains_key(name) {
        let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        bail!(
            "there is no [providers.{name}]; there are: {}",
            names.join(", ")
        );
    }
    let rows = compose::providers(Arc::new(config));
    match rows.open(name, model).await {
        Ok(provider) => Ok(provider),
        Err(error) => bail!("{}", error.message),
    }
}

async fn ask(
    config: Config,
    name: &str,
    prompt: &str,
    model: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let provider = open(config, name, model).await?;
    let mut conversation = Conversation::new(String::new(), Vec::new());
    conversation.push(&Item::user(prompt));
    let wanted = provider
        .info()
        .max_output_tokens
        .unwrap_or(DEFAULT_OUTPUT_TOKENS);
    let mut reply = match provider.stream(conversation.request(wanted)).await {
        Ok(reply) => reply,
        Err(error) => bail!("{}", error.message),
    };
    let mut used = TokenUsage::default();
    while let Some(delta) = reply.next().await {
        match delta {
            Delta::Text { delta } => print_at_once(&delta),
            Delta::Usage { usage } => used = usage,
            Delta::Error { error } => bail!("{}", error.message),
            _ => {}
        }
    }
    print_at_once("\n");
    let (input, cached, output) = (used.input_tokens, used.cached_percent(), used.output_tokens);
    complain(&format!(
        "[{input} tokens in, {cached} % of them cached, {output} out]"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Nobody may be there to read it any more, which is no reason to fail.
fn print_at_once(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

async fn check(config: Config, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let provider = open(config, name, None).await?;
    let findings = provider.check().await;
    if json {
        let rows: Vec<Value> = findings.iter().map(as_json).collect();
        say(&Value::from(rows).to_string());
    } else {
        findings.iter().map(as_line).for_each(|line| say(&line));
    }
    let failed = |finding: &Finding| matches!(finding.verdict, Verdict::Failed(_));
    Ok(match findings.iter().any(failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn as_line(finding: &Finding) -> String {
    match &finding.verdict {
        Verdict::Passed => format!("passed     {}", finding.check),
        Verdict::Failed(reason) => format!("FAILED     {}: {reason}", finding.check),
        Verdict::NotShown(reason) => format!("not shown  {}: {reason}", finding.check),
    }
}

fn as_json(finding: &Finding) -> Value {
    let (verdict, reason) = match &finding.verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(reason) => ("failed", Some(reason)),
        Verdict::NotShown(reason) => ("not shown", Some(reason)),
    };
    json!({ "check": finding.check, "verdict": verdict, "reason": reason })
}

/// `pullwright provider`: the scripted provider as a plugin of its own.
#[derive(Args)]
pub(super) struct Provider {
    /// The script file.
    #[arg(long)]
    script: PathBuf,
    /// The name of the row that starts it.
    #[arg(long, default_value = "scripted")]
    name: String,
}

impl Provider {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let provider = ScriptedProvider::load(self.name, &self.script)?;
        serve_stdio(rpc_module(Arc::new(provider))).await?;
        Ok(ExitCode::SUCCESS)
    }
}
