//! `pullwright tools`: the tool servers of a configuration, without a run.

mod accept;
mod forge;
mod open;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use pullwright_core::tools::ToolAnswer;
use pullwright_protocol::Part;
use pullwright_protocol::item::joined_text;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{complain, say};
use open::Workbench;

/// How much of a tool's progress may wait to be printed.
const QUEUED_OUTPUT: usize = 64;

#[derive(Args)]
pub(super) struct Tools {
    #[command(subcommand)]
    task: Task,
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// The folder that tool servers in the sandbox work in, which they may change; a fresh one if absent.
    #[arg(long, global = true)]
    workspace: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Task {
    /// List the tool servers and their tools, as a model is offered them.
    List {
        /// One row only.
        name: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a tool, and print what it answers.
    Call {
        /// The row.
        server: String,
        /// The tool's name on its server.
        tool: String,
        /// The arguments, as a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Open the tool servers and say what is wrong with them; a forge is held against its contract.
    Check {
        /// One row only.
        name: Option<String>,
    },
    /// Show how a server's tools differ from what was accepted, and accept them as they are.
    Accept {
        /// The row.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Tools {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let bench = Workbench::open(self.config.as_deref(), self.workspace)?;
        let done = match self.task {
            Task::List { name, json } => show::list(&bench, name.as_deref(), json).await,
            Task::Check { name } => show::check(&bench, name.as_deref()).await,
            Task::Accept { name, yes } => accept::accept(&bench, &name, yes).await,
            Task::Call {
                server,
                tool,
                arguments,
                json,
            } => call(&bench, &server, &tool, &arguments, json).await,
        };
        bench.close().await?;
        done
    }
}

async fn call(
    bench: &Workbench,
    server: &str,
    tool: &str,
    arguments: &str,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let arguments: Map<String, Value> = serde_json::from_str(arguments)
        .context("the arguments must be a JSON object, such as '{\"path\": \"README.md\"}'")?;
    let opened = bench.server(server).await?;
    let known = opened.tools().iter().any(|known| known.name == tool);
    if !known {
        let names: Vec<&str> = opened
            .tools()
            .iter()
            .map(|tool| tool.name.as_ref())
            .collect();
        return Err(anyhow!(
            "`{server}` has no tool `{tool}`; it has: {}",
            names.join(", ")
        ));
    }
    let (output, mut pieces) = mpsc::channel(QUEUED_OUTPUT);
    let never = CancellationToken::new();
    let calling = async {
        let answer = opened.call(tool, arguments, Default::default(), &output, &never);
        let answer = answer.await;
        drop(output);
        answer
    };
    let showing = async {
        while let Some(piece) = pieces.recv().await {
            complain(piece.trim_end_matches('\n'));
        }
    };
    let (answer, ()) = tokio::join!(calling, showing);
    let answer = answer?;
    print_answer(&answer, json);
    Ok(if answer.is_error {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print_answer(answer: &ToolAnswer, json: bool) {
    if json {
        let whole = json!({
            "parts": answer.parts,
            "structured": answer.structured,
            "isError": answer.is_error,
        });
        return say(&whole.to_string());
    }
    say(&joined_text(&answer.parts));
    let is_picture = |part: &&Part| matches!(part, Part::Image { .. });
    let pictures = answer.parts.iter().filter(is_picture).count();
    if pictures > 0 {
        complain(&format!("[{pictures} pictures; --json prints them]"));
    }
}
