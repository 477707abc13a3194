//! Starts the double alone, for any client.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use pullwright_modal_double::{Double, Options, TOKEN_ID, TOKEN_SECRET};

/// A double of Modal's control plane and command router. It listens until it is ended.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// The executable `pullwright`, which starts the sandboxes on this machine.
    #[arg(long)]
    pullwright: PathBuf,
    /// How long its tokens live, in seconds.
    #[arg(long, default_value_t = 1200)]
    token_lifetime_sec: u64,
    /// Give out a token for each sandbox, and refuse calls about it that show another one.
    #[arg(long)]
    sandbox_tokens: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let double = Double::start(Options {
        listen: arguments.listen,
        pullwright: arguments.pullwright,
        token_lifetime: Duration::from_secs(arguments.token_lifetime_sec),
        sandbox_tokens: arguments.sandbox_tokens,
    })
    .await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "export MODAL_SERVER_URL={}", double.url())?;
    writeln!(
        out,
        "export MODAL_TOKEN_ID={TOKEN_ID} MODAL_TOKEN_SECRET={TOKEN_SECRET}"
    )?;
    drop(out);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
