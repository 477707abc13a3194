//! `pullwright tool-host fs bash git`: the built-in tool servers, as one, for any MCP client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use pullwright_tool_kit::{HTTP_PATH, HttpAccess, ToolServer, http_router, serve_stdio};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api;
use crate::cli::complain;

/// Which tools, where, and for whom.
#[derive(Args)]
pub(super) struct Offered {
    /// The tool servers.
    #[arg(required = true, value_enum)]
    servers: Vec<Builtin>,
    /// The folder to work in.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Serve streamable HTTP on this address instead of standard input and output.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// The environment variable with the token that HTTP clients send; without it one is made and printed.
    #[arg(long, value_name = "NAME", requires = "http")]
    token_env: Option<String>,
    /// Let every process of this machine call the tools over HTTP; refused where others reach the address.
    #[arg(long, requires = "http", conflicts_with = "token_env")]
    no_token: bool,
    /// Another host that HTTP requests may name, such as a proxy in front; may be repeated.
    #[arg(long = "host", value_name = "HOST", requires = "http")]
    hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Builtin {
    /// Read, write, edit, list, glob and grep.
    Fs,
    /// Run commands.
    Bash,
    /// Status, differences, log, show and commit.
    Git,
}

impl Offered {
    pub(super) async fn serve(self) -> anyhow::Result<()> {
        // A command of the client is the same user, and must not speak for the tool server.
        pullwright_sandbox::make_non_dumpable().context("cannot close this process to others")?;
        let root = std::fs::canonicalize(&self.root)
            .with_context(|| format!("cannot work in {}", self.root.display()))?;
        let server = self.combined(&root)?;
        // The end by a signal takes the way out that ends the tools' own processes too.
        let stop = stop_at_signals()?;
        match self.http {
            Some(address) => self.serve_over_http(server, address, stop).await,
            None => tokio::select! {
                served = serve_stdio(server) => served.context("cannot serve standard input"),
                () = stop.cancelled() => Ok(()),
            },
        }
    }

    fn combined(&self, root: &Path) -> anyhow::Result<ToolServer<()>> {
        let mut servers = self.servers.clone();
        servers.sort_unstable();
        servers.dedup();
        let version = env!("CARGO_PKG_VERSION");
        let mut all = ToolServer::new("pullwright", version, ().into());
        for server in servers {
            let root = root.to_owned();
            all = match server {
                Builtin::Fs => all.and(pullwright_fs::server(root)),
                Builtin::Bash => {
                    pullwright_bash::own_process().context("cannot take over this process")?;
                    all.and(pullwright_bash::server(root))
                }
                Builtin::Git => all.and(pullwright_git::server(root)),
            }?;
        }
        Ok(all)
    }

    async fn serve_over_http(
        &self,
        server: ToolServer<()>,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("cannot see the address")?;
        let (access, fresh) = self.access(address)?;
        complain(&format!("serving tools on http://{address}{HTTP_PATH}"));
        if let Some(token) = fresh {
            complain(&format!("token: {token}"));
        }
        let access = access.also_for(self.hosts.clone());
        let router = http_router(server, access, &stop);
        let served = api::serve(listener, router, stop.cancelled_owned()).await;
        served.context("cannot accept connections any more")
    }

    /// Who may call, and the token if it is a fresh one.
    fn access(&self, address: SocketAddr) -> anyhow::Result<(HttpAccess, Option<String>)> {
        if self.no_token {
            return Ok((HttpAccess::open_on_loopback(address)?, None));
        }
        if let Some(name) = &self.token_env {
            return Ok((HttpAccess::with_token(address, &token_in(name)?)?, None));
        }
        let token = fresh_token();
        Ok((HttpAccess::with_token(address, &token)?, Some(token)))
    }
}

fn token_in(variable: &str) -> anyhow::Result<String> {
    match std::env::var(variable) {
        Ok(token) if !token.is_empty() => Ok(token),
        _ => bail!("the environment variable {variable} is not set; put the token there"),
    }
}

/// Two random identifiers: 244 random bits.
fn fresh_token() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn stop_at_signals() -> anyhow::Result<CancellationToken> {
    let watch = |kind| signal(kind).context("cannot watch for signals");
    let mut terminated = watch(SignalKind::terminate())?;
    let mut interrupted = watch(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        fired.cancel();
    });
    Ok(stop)
}
