//! `pullwright doctor`: what this machine and this configuration give a run, and what they do not.

mod configured;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use pullwright_core::config::Config;
use pullwright_sandbox::machine::Finding;

use super::{config, say};
use report::Report;

#[derive(Args)]
pub(super) struct Doctor {
    /// The configuration; the one in the user's config folder if absent.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Try Modal, too: the account, its server, the image, and a sandbox, which costs a moment of one.
    #[arg(long)]
    modal: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        pullwright_sandbox::harden_server()?;
        let json = self.json;
        let report = self.examine().await?;
        match json {
            true => say(&serde_json::to_string_pretty(&report)?),
            false => say(&report.text(std::io::stdout().is_terminal())),
        }
        Ok(match report.works() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    async fn examine(&self) -> anyhow::Result<Report> {
        let mut report = Report::default();
        let config = self.load(&mut report);
        let data_dir = data_dir(config.as_ref(), &mut report)?;
        if let Some(config) = &config {
            report.add("configuration", configured::keys(config));
            report.add("configuration", configured::webhooks(config));
            report.add("configuration", configured::hosts(config).await);
            report.open_sandbox(configured::sandbox(config, &data_dir).await);
        }
        let executable = std::env::current_exe().context("cannot find this program's own file")?;
        if self.modal {
            report.modal(configured::modal(config.as_ref(), &data_dir, &executable).await);
        }
        let tried = pullwright_sandbox::try_local(&data_dir, &executable).await;
        let machine = tokio::task::spawn_blocking(move || {
            pullwright_sandbox::probe_machine(&data_dir, &tried)
        });
        report.machine(machine.await.context("looking at the machine broke off")?);
        Ok(report)
    }

    /// A machine can be looked at without a configuration, so that is one finding among others.
    fn load(&self, report: &mut Report) -> Option<Config> {
        match config::load(self.config.as_deref()) {
            Ok(config) => {
                let path = config::path(self.config.as_deref())
                    .and_then(|path| Ok(std::path::absolute(path)?))
                    .unwrap_or_default();
                let path = path.display().to_string();
                report.add("configuration", [Finding::ok("plugins.toml", path)]);
                Some(config)
            }
            Err(error) => {
                report.unusable(Finding::no("plugins.toml", format!("{error:#}")));
                None
            }
        }
    }
}

/// The folder for runs, which is made as a server would make it.
fn data_dir(config: Option<&Config>, report: &mut Report) -> anyhow::Result<PathBuf> {
    let data_dir = match config {
        Some(config) => config::data_dir(config)?,
        None => config::default_data_dir()?,
    };
    if let Err(error) = std::fs::create_dir_all(&data_dir) {
        let meaning = format!("cannot make {}: {error}", data_dir.display());
        report.unusable(Finding::no("data folder", meaning));
    }
    Ok(data_dir)
}
