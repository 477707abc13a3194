//! `pullwright provider`: the scripted provider as a plugin of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use pullwright_providers::{ScriptedProvider, rpc_module, serve_stdio};

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
