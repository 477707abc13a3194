//! Runs that begin on a code host.

mod emulated;
mod examples;
mod missed;
mod people;
mod reception;
mod repairs;
mod runs;
pub(crate) mod sender;

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::runs::lab::PROGRAM;
use crate::served::listening;

/// Starts a server in the folder of its configuration, with the webhook's secret and these variables, and answers
/// where it listens. Dropping it kills it.
async fn serve(folder: &Path, variables: &[(&str, &str)]) -> (Child, String) {
    let mut process = Command::new(PROGRAM)
        .args(["serve", "--config", "plugins.toml"])
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder)
        .env_remove("DATABASE_URL")
        .env(sender::VARIABLE, sender::SECRET)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start pullwright");
    let (address, _) = listening(&mut process).await;
    (process, address)
}
