//! What Modal gives, step by step: the report behind `pullwright doctor --modal`.

use std::path::Path;
use std::time::Instant;

use pullwright_core::config::SandboxConfig;
use pullwright_core::sandbox::{Opening, Sandbox, SandboxCommand, SandboxError, SandboxHost as _};
use pullwright_protocol::RunId;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::account::{Account, AccountError, REMEDY};
use super::control::Control;
use super::error::ModalError;
use super::{ModalHost, TOOL_HOST};
use crate::machine::Finding;

/// What a process in the sandbox is to say.
const WORDS: &str = "hello from inside";

/// Tries what a run needs of Modal, in the order in which it needs it, up to what fails. A sandbox that
/// is made for that is ended again.
pub async fn diagnose(
    config: &SandboxConfig,
    account: Result<Account, AccountError>,
    data_dir: &Path,
    executable: &Path,
) -> Vec<Finding> {
    let account = match account {
        Ok(account) => account,
        Err(error) => {
            return vec![Finding::no("Modal account", error.to_string()).remedy(REMEDY)];
        }
    };
    let mut findings = vec![found(&account)];
    let reached = reach(&account).await;
    let is_reached = reached.is_ok();
    findings.push(judge("Modal server", reached));
    if !is_reached {
        return findings;
    }
    let host = match ModalHost::new(config, account, data_dir, executable) {
        Ok(host) => host,
        Err(error) => {
            findings.push(judge("tool host", Err(error)));
            return findings;
        }
    };
    let image = image(&host).await;
    let is_built = image.is_ok();
    findings.push(judge("image", image));
    if is_built {
        findings.push(judge("sandbox", round_trip(&host).await));
    }
    findings
}

fn found(account: &Account) -> Finding {
    let environment = match account.environment.as_str() {
        "" => "the workspace's own environment".to_owned(),
        name => format!("environment `{name}`"),
    };
    let (id, server) = (&account.token_id, &account.server);
    Finding::ok(
        "Modal account",
        format!("token {id} for {server}, {environment}"),
    )
}

fn judge(name: &str, tried: Result<String, SandboxError>) -> Finding {
    match tried {
        Ok(meaning) => Finding::ok(name, meaning),
        Err(SandboxError::Refused { reason, remedy, .. }) => {
            Finding::no(name, reason).remedy(remedy)
        }
        Err(SandboxError::Lost { reason, .. }) => Finding::no(name, reason),
        Err(error) => Finding::no(name, error.to_string()),
    }
}

async fn reach(account: &Account) -> Result<String, SandboxError> {
    let begun = Instant::now();
    let reached = async {
        let control = Control::new(account.clone())?;
        let hello = control.call("ClientHello", (), |mut client, request| async move {
            client.client_hello(request).await
        });
        hello.await
    };
    let hello = reached.await.map_err(ModalError::into_sandbox_error)?;
    let time = begun.elapsed().as_millis();
    Ok(match hello.warning.as_str() {
        "" => format!("it took the token, in {time} ms"),
        warning => format!("it took the token, in {time} ms, and says: {warning}"),
    })
}

async fn image(host: &ModalHost) -> Result<String, SandboxError> {
    let begun = Instant::now();
    // Nobody reads the build's log: a receiver that lives on would hold it up.
    let (notices, _) = mpsc::channel(1);
    let prepared = host.prepared(&notices).await;
    let prepared = prepared.map_err(ModalError::into_sandbox_error)?;
    let (image, time) = (&prepared.image_id, begun.elapsed().as_millis());
    let size = std::fs::metadata(&host.tool_host).map_or(0, |file| file.len());
    let megabytes = size.div_ceil(1 << 20);
    Ok(format!(
        "{image} is there after {time} ms, with {TOOL_HOST} of {megabytes} MiB in it"
    ))
}

async fn round_trip(host: &ModalHost) -> Result<String, SandboxError> {
    let folder = tempfile::tempdir().map_err(|source| SandboxError::Io {
        what: "cannot make a folder to try with".to_owned(),
        source,
    })?;
    let run = RunId(format!("doctor-{}", std::process::id()));
    let begun = Instant::now();
    let opening = Opening {
        warm: None,
        run: &run,
        checkout: folder.path(),
        notices: mpsc::channel(1).0,
    };
    let sandbox = host.open(opening).await?;
    let opened = begun.elapsed().as_millis();
    let begun = Instant::now();
    let said = say_hello(&*sandbox).await;
    let spoken = begun.elapsed().as_millis();
    sandbox.close().await?;
    let said = said?;
    match said.trim() == WORDS {
        true => Ok(format!(
            "one opened in {opened} ms, ran a command in {spoken} ms, and is ended"
        )),
        false => Err(ModalError::Ended(format!("a command said {said:?}")).into_sandbox_error()),
    }
}

async fn say_hello(sandbox: &dyn Sandbox) -> Result<String, SandboxError> {
    let command = SandboxCommand {
        argv: ["echo", WORDS].map(str::to_owned).to_vec(),
        ..SandboxCommand::default()
    };
    let mut process = sandbox.spawn(command).await?;
    let mut said = String::new();
    let read = process.stdout.read_to_string(&mut said).await;
    read.map_err(|source| SandboxError::Io {
        what: "cannot read what a command said".to_owned(),
        source,
    })?;
    Ok(said)
}
