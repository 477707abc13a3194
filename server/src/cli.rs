//! The command line.

mod audit;
mod code;
mod config;
mod demo;
mod doctor;
mod health;
mod keys;
mod place;
mod probe;
mod providers;
mod replay;
mod runs;
mod sandbox;
mod serve;
mod settings;
mod tool_host;
mod tools;
mod view;
mod workbench;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::logging::{self, LogFormat};
use crate::runtime::server_runtime;

/// Turns a sentence into a pull request.
#[derive(Parser)]
#[command(name = "pullwright", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How lines of the log are written; text on a terminal and JSON elsewhere if absent.
    #[arg(long, global = true, env = "PULLWRIGHT_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// Who did something that was done on the command line. No key can have this name.
const COMMAND_LINE: &str = "command line";
/// How long work that cannot be interrupted may hold up the end of the process.
const LONGEST_EXIT: Duration = Duration::from_secs(5);

const NO_RUNTIME: &str = "cannot start the asynchronous runtime";

#[derive(Subcommand)]
enum Command {
    /// Serve `POST /code` over HTTP.
    Serve(serve::Serve),
    /// Do one task from the terminal.
    Code(code::Code),
    /// Show the main job with a scripted model, the local machine and a git remote on disk.
    Demo(demo::Demo),
    /// List, show, follow, cancel, resume and export the runs of this machine.
    Runs(runs::Runs),
    /// Make, list and revoke the API keys of `serve`.
    Keys(keys::Keys),
    /// Show who did what when through `serve`, and with its keys.
    Audit(audit::Audit),
    /// Drive a recorded run again, offline, and say in what it differs.
    Replay(Box<replay::ReplayRun>),
    /// Run a command in a sandbox.
    Sandbox(sandbox::Sandbox),
    /// Say what this machine and the configuration give a run, and what they do not.
    Doctor(doctor::Doctor),
    /// Say whether a server is ready.
    Health(health::Health),
    /// Do one task through a server somewhere else, and say how that server did.
    Probe(probe::Probe),
    /// Play a script file as a provider plugin over standard input and output.
    #[command(hide = true)]
    Provider(providers::Provider),
    /// Check the configuration, or print its schema for editors.
    Config(settings::Settings),
    /// List, ask and check the models of a configuration.
    Providers(providers::Providers),
    /// List, call and check the tool servers of a configuration, and accept their definitions.
    Tools(tools::Tools),
    /// Print the description of the HTTP API (OpenAPI 3.1).
    Openapi,
    /// Serve the built-in tool servers to any MCP client.
    ToolHost(tool_host::ToolHost),
}

/// Runs the command line and answers the exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command;
    // A tool host lives once per tool server and run, so it gets by with one thread.
    if let Command::ToolHost(tool_host) = command {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.context(NO_RUNTIME)?.block_on(tool_host.run());
    }
    logging::init(cli.log_format);
    let runtime = server_runtime().context(NO_RUNTIME)?;
    let ended = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Code(code) => code.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Runs(runs) => runs.run().await,
            Command::Keys(keys) => keys.run().await,
            Command::Audit(audit) => audit.run().await,
            Command::Replay(replay) => replay.run().await,
            Command::Sandbox(sandbox) => sandbox.run().await,
            Command::Doctor(doctor) => doctor.run().await,
            Command::Health(health) => health.run().await,
            Command::Probe(probe) => probe.run().await,
            Command::Provider(provider) => provider.run().await,
            Command::Config(settings) => settings.run(),
            Command::Providers(providers) => providers.run().await,
            Command::Tools(tools) => tools.run().await,
            Command::Openapi => print_openapi(),
            Command::ToolHost(tool_host) => tool_host.run().await,
        }
    });
    runtime.shutdown_timeout(LONGEST_EXIT);
    ended
}

fn print_openapi() -> anyhow::Result<ExitCode> {
    say(&serde_json::to_string_pretty(&crate::api::document())?);
    Ok(ExitCode::SUCCESS)
}

/// Nobody may be there to read it any more, which is no reason to stop what is under way.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// The same to standard output.
fn say(message: &str) {
    let _ = writeln!(std::io::stdout(), "{message}");
}
