//! Processes at the far end of one stream of bytes.
//!
//! `pullwright tool-host spawner` runs where the processes are wanted, as it is started there by an
//! engine: a command, or a service's API. [`wire`] is what the two sides say to each other over its
//! standard input and output, [`inside`] the side that starts processes, and the rest of this folder the
//! side that asks for them. What comes from inside is untrusted: sizes, numbers and credit are checked
//! here, and what breaks a rule ends the sandbox, not the server.

mod banner;
mod calls;
mod framing;
pub mod inside;
mod mux;
mod session;
mod upload;
pub mod wire;

use std::time::Duration;

use async_trait::async_trait;
use pullwright_core::sandbox::SandboxError;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use session::{Opened, Session, open};

/// What a spawner hears.
pub(crate) type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// What a spawner says.
pub(crate) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// What started a spawner, and ends it.
#[async_trait]
pub(crate) trait Engine: Send {
    /// The kind of its sandboxes.
    fn kind(&self) -> &'static str;

    /// Its standard input and output, once.
    fn take_stream(&mut self) -> Result<(Input, Output), SandboxError>;

    /// Waits for its end for as long as `grace`, then ends it and what it left. Says how it ended.
    async fn end(&mut self, grace: Duration) -> String;

    /// Why its machine is gone, after it ended unexpectedly and where somebody else knows.
    async fn why_lost(&mut self) -> Option<String> {
        None
    }

    /// What to do where a spawner did not begin to speak in time.
    fn remedy_for_silence(&self) -> &'static str;

    /// What to do where something else than a spawner spoke, or nothing did.
    fn remedy_for_another(&self) -> &'static str;
}

/// Text of an untrusted side as one line for people.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
