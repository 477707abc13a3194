//! The ways to reach a provider plugin.

use std::ffi::OsString;

use pullwright_core::config::ProviderLink;
use pullwright_link::{ChildCommand, LinePeer, NativeLibrary, connect_websocket};
use url::Url;

use super::Open;
use crate::compose::host_tools::environment;

/// Opens a connection to the plugin of `row`.
pub(super) async fn connect(row: &str, link: &ProviderLink) -> Result<Open, String> {
    match link {
        ProviderLink::Command {
            command,
            args,
            env,
            env_vars,
        } => {
            let started = ChildCommand {
                name: row.to_owned(),
                program: command.into(),
                args: args.iter().map(OsString::from).collect(),
                env: environment(env, env_vars),
                cwd: None,
            }
            .spawn();
            let process = started.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: Box::new(LinePeer::new(row, process.stdin, process.stdout)),
                guard: Box::new(process.guard),
            })
        }
        ProviderLink::Url {
            url,
            bearer_token_env_var,
        } => {
            let url = Url::parse(url).map_err(|error| format!("`url` is no address: {error}"))?;
            let token = bearer_token_env_var.as_deref().map(token_in).transpose()?;
            let connected = connect_websocket(&url, token.as_deref()).await;
            let connection = connected.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: Box::new(LinePeer::new(row, connection.write, connection.read)),
                guard: Box::new(connection.guard),
            })
        }
        ProviderLink::Library { library, sha256 } => {
            let (name, library, sha256) = (row.to_owned(), library.clone(), sha256.clone());
            let opening = tokio::task::spawn_blocking(move || {
                NativeLibrary::load(&library, &sha256)?.open(&name)
            });
            let opened = opening.await.map_err(|error| error.to_string())?;
            let connection = opened.map_err(|error| error.to_string())?;
            Ok(Open {
                peer: Box::new(LinePeer::new(row, connection.write, connection.read)),
                guard: Box::new(connection.guard),
            })
        }
        ProviderLink::Wire(_) => Err("a wire format is spoken by this program itself".to_owned()),
    }
}

/// Read anew for every connection, so that a new token counts.
fn token_in(variable: &str) -> Result<String, String> {
    match std::env::var(variable) {
        Ok(token) if !token.is_empty() => Ok(token),
        _ => Err(format!(
            "the environment variable {variable}, named by `bearer_token_env_var`, is not set; put the \
             token there"
        )),
    }
}
