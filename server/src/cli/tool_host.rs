//! `pullwright tool-host`: what runs inside a sandbox.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use pullwright_git::{ExportOptions, WorkspaceError};
use pullwright_sandbox::spawner::inside::{self, SpawnerOptions};
use pullwright_tool_kit::serve_stdio;
use tokio::signal::unix::{SignalKind, signal};

mod offered;

use super::complain;

/// Serves built-in tool servers to any MCP client.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ToolHost {
    #[command(flatten)]
    offered: offered::Offered,
    /// What a sandbox asks of its tool host.
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Serve one of the built-in tool servers (fs, bash, git) in the current folder.
    #[command(hide = true)]
    Serve {
        /// Which one.
        server: String,
        /// The folder to work in.
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
    /// Start processes for the server at the other end of standard input and output: the last word of
    /// `[sandbox] command`.
    Spawner {
        /// The workspace where the command shares it (by default the current folder), else where a
        /// fresh one is made (by default the folder for temporary files).
        #[arg(long)]
        root: Option<PathBuf>,
        /// A workspace that stays when this ends; it is made if it is not there.
        #[arg(long, conflicts_with = "root")]
        workspace: Option<PathBuf>,
        /// A variable of the environment here that the processes get too; may be repeated.
        #[arg(long = "env-var", value_name = "NAME")]
        env_vars: Vec<String>,
    },
    /// Do nothing until told to end: what a container needs that only holds other processes.
    #[command(hide = true)]
    Stay,
    /// Keep the base's objects outside the workspace, before anything untrusted runs in it.
    #[command(hide = true)]
    Keep,
    /// Write the working tree as a git bundle on top of a commit to standard output.
    #[command(hide = true)]
    Export {
        /// The commit.
        #[arg(long)]
        base: String,
    },
    /// Restore the files of a commit or tree, and hide all others, after setup and checks.
    #[command(hide = true)]
    Settle {
        /// The commit or tree.
        #[arg(long)]
        to: String,
    },
}

impl ToolHost {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.task {
            None => self.offered.serve().await?,
            Some(Task::Serve { server, root }) => serve(&server, root).await?,
            Some(Task::Spawner {
                root,
                workspace,
                env_vars,
            }) => {
                let options = SpawnerOptions {
                    root,
                    workspace,
                    env_vars,
                };
                inside::serve(options).await?;
            }
            Some(Task::Stay) => stay().await?,
            Some(Task::Keep) => keep()?,
            Some(Task::Export { base }) => export(&base)?,
            Some(Task::Settle { to }) => settle(&to)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn stay() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    terminated.recv().await;
    Ok(())
}

/// Serves until the client leaves or the process is told to end. Being told to end by a signal must
/// end the tools' own processes too, so it takes the same way out.
async fn serve(server: &str, root: PathBuf) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    tokio::select! {
        served = serve_here(server, root) => served,
        _ = terminated.recv() => Ok(()),
    }
}

async fn serve_here(server: &str, root: PathBuf) -> anyhow::Result<()> {
    // A command of the model is the same user, and must not speak for the tool server.
    pullwright_sandbox::make_non_dumpable().context("cannot close this process to others")?;
    let root = std::fs::canonicalize(&root)
        .with_context(|| format!("cannot work in {}", root.display()))?;
    match server {
        "fs" => serve_stdio(pullwright_fs::server(root)).await?,
        "bash" => {
            pullwright_bash::own_process().context("cannot take over this process")?;
            serve_stdio(pullwright_bash::server(root)).await?;
        }
        "git" => serve_stdio(pullwright_git::server(root)).await?,
        other => bail!("there is no built-in tool server `{other}`; there are fs, bash and git"),
    }
    Ok(())
}

fn keep() -> anyhow::Result<()> {
    pullwright_git::keep(&current_folder()?, &kept_objects()?)?;
    Ok(())
}

fn export(base: &str) -> anyhow::Result<()> {
    let root = current_folder()?;
    let mut out = std::io::stdout().lock();
    let own = ExportOptions::default();
    let summary = match pullwright_git::export(&root, base, &own, &mut out) {
        // The agent has broken the workspace's own repository, which is no reason to lose its work.
        Err(WorkspaceError::NoRepository { .. } | WorkspaceError::BaseUnreadable { .. }) => {
            let kept = ExportOptions {
                git_dir: Some(kept_objects()?),
                ..own
            };
            pullwright_git::export(&root, base, &kept, &mut out)?
        }
        exported => exported?,
    };
    out.flush().context("cannot write the bundle")?;
    for left_out in &summary.left_out {
        complain(&format!("left out {}: {}", left_out.path, left_out.reason));
    }
    Ok(())
}

fn settle(to: &str) -> anyhow::Result<()> {
    pullwright_git::settle(&current_folder()?, to)?;
    Ok(())
}

fn current_folder() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("cannot see the current folder")
}

/// Where [`Task::Keep`] puts them: in the run's own home.
fn kept_objects() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".pullwright-base"))
}
