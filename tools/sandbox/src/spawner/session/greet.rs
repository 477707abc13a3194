//! The first words, until the inside is ready for processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pullwright_core::sandbox::SandboxError;
use pullwright_protocol::RunId;
use tokio::io::{AsyncRead, BufReader, BufWriter};
use tokio::time::timeout;

use crate::spawner::banner::{self, BannerError};
use crate::spawner::framing::{self, FramingError};
use crate::spawner::upload::{self, UploadError};
use crate::spawner::wire::{Frame, Hello, Open, VERSION};
use crate::spawner::{Engine, Input, Output, readable};

/// How long the inside may take to answer once the workspace is there: it has only to look.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a command that failed to begin may take to say why and end.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Longer than any path is.
const MAX_PATH_BYTES: usize = 4096;

/// A stream whose inside is ready.
pub(super) struct Greeted {
    pub(super) stdin: BufWriter<Input>,
    pub(super) stdout: BufReader<Output>,
    pub(super) workspace: PathBuf,
    pub(super) tool_host: PathBuf,
}

/// Why there is no inside.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetError {
    #[error("it did not begin to speak within {} s", .0.as_secs_f64())]
    Silent(Duration),
    #[error(transparent)]
    Banner(#[from] BannerError),
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("its stream ended too early")]
    Ended,
    #[error("it has version {0} of the language, not {VERSION}")]
    Version(u32),
    #[error("it cannot be opened: {0}")]
    Failed(String),
    #[error("it sent a {0} that cannot be")]
    Unfit(&'static str),
    #[error("it was not ready within {} s", READY_TIMEOUT.as_secs())]
    NotReady,
    #[error(transparent)]
    Upload(#[from] UploadError),
}

pub(super) async fn greet(
    stdin: Input,
    stdout: Output,
    run: &RunId,
    upload: Option<&Path>,
    startup_timeout: Duration,
) -> Result<Greeted, GreetError> {
    let (mut stdin, mut stdout) = (BufWriter::new(stdin), BufReader::new(stdout));
    let hello = timeout(startup_timeout, hello(&mut stdout)).await;
    let hello = hello.map_err(|_| GreetError::Silent(startup_timeout))??;
    let open = Open {
        run: run.0.clone(),
        upload: upload.is_some(),
    };
    let sent = upload::send(&mut stdin, open, upload).await;
    let answer = match sent {
        // It may have said why it hung up.
        Err(error) => match timeout(LAST_WORDS_TIMEOUT, ready(&mut stdout)).await {
            Ok(Err(failed @ GreetError::Failed(_))) => return Err(failed),
            _ => return Err(error.into()),
        },
        Ok(()) => timeout(READY_TIMEOUT, ready(&mut stdout)).await,
    };
    let workspace = answer.map_err(|_| GreetError::NotReady)??;
    Ok(Greeted {
        stdin,
        stdout,
        workspace: path("workspace", workspace)?,
        tool_host: path("tool host", hello.tool_host)?,
    })
}

async fn hello(stdout: &mut BufReader<Output>) -> Result<Hello, GreetError> {
    banner::skip(stdout).await?;
    match next(stdout).await? {
        Frame::Hello(hello) if hello.version == VERSION => Ok(hello),
        Frame::Hello(hello) => Err(GreetError::Version(hello.version)),
        Frame::Failed { why } => Err(GreetError::Failed(readable(why.as_bytes()))),
        _ => Err(GreetError::Unfit("first frame")),
    }
}

async fn ready(stdout: &mut BufReader<Output>) -> Result<String, GreetError> {
    match next(stdout).await? {
        Frame::Ready(ready) => Ok(ready.workspace),
        Frame::Failed { why } => Err(GreetError::Failed(readable(why.as_bytes()))),
        _ => Err(GreetError::Unfit("frame before it was ready")),
    }
}

async fn next(stdout: &mut (impl AsyncRead + Unpin)) -> Result<Frame, GreetError> {
    framing::read(stdout).await?.ok_or(GreetError::Ended)
}

fn path(what: &'static str, path: String) -> Result<PathBuf, GreetError> {
    let fits = path.len() <= MAX_PATH_BYTES && !path.contains('\0');
    let path = PathBuf::from(path);
    match fits && path.is_absolute() {
        true => Ok(path),
        false => Err(GreetError::Unfit(what)),
    }
}

impl GreetError {
    /// Ends the engine and says what a person can make of it.
    pub(super) async fn into_error(self, mut engine: Box<dyn Engine>) -> SandboxError {
        let ended = engine.end(self.grace()).await;
        let (kind, reason) = (engine.kind(), format!("{self}; {ended}"));
        match self.remedy(&*engine) {
            Some(remedy) => SandboxError::Refused {
                kind,
                reason,
                remedy: remedy.to_owned(),
            },
            None => SandboxError::Lost { kind, reason },
        }
    }

    fn grace(&self) -> Duration {
        match self {
            Self::Banner(BannerError::Ended(_)) | Self::Ended | Self::Failed(_) => {
                LAST_WORDS_TIMEOUT
            }
            _ => Duration::ZERO,
        }
    }

    /// What to do where the command is at fault; nothing where the inside broke a rule.
    fn remedy(&self, engine: &dyn Engine) -> Option<&'static str> {
        match self {
            Self::Silent(_) => Some(engine.remedy_for_silence()),
            Self::Banner(BannerError::Ended(_) | BannerError::Terminal) | Self::Failed(_) => {
                Some(engine.remedy_for_another())
            }
            Self::Version(_) => Some("put the same version of pullwright into the sandbox"),
            _ => None,
        }
    }
}
