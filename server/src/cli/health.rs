//! `pullwright health`: whether a server is ready, for whoever watches over it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use url::Url;

use super::say;

/// A server that takes longer is not ready.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Health {
    /// Where the server is.
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: Url,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        // The client's TLS wants one; it does no harm if there is one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let ready = self.url.join("/readyz")?;
        // A proxy would only be asked for what is on this machine.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let asked = client.get(ready.clone()).timeout(ANSWER_LIMIT).send().await;
        let answer = asked.with_context(|| format!("{ready} does not answer"))?;
        if !answer.status().is_success() {
            bail!("{ready} answers {}: it is not ready", answer.status());
        }
        say("ready");
        Ok(ExitCode::SUCCESS)
    }
}
