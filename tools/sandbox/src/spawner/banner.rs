//! What an engine prints before the inside speaks.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::readable;
use super::wire::MARKER;

/// The longest banner: more is a program that never was a spawner.
const MAX_BANNER_BYTES: usize = 64 * 1024;

/// How much of a banner is shown.
const SHOWN_BYTES: usize = 1024;

/// Why the inside did not begin to speak.
#[derive(Debug, thiserror::Error)]
pub(super) enum BannerError {
    #[error("it ended{0}")]
    Ended(String),
    #[error("it printed over {MAX_BANNER_BYTES} bytes{0}")]
    TooLong(String),
    #[error("it has a terminal, which changes bytes; remove `-t` or `--tty` from the command")]
    Terminal,
    #[error("its stream broke off: {0}")]
    Stream(#[from] std::io::Error),
}

/// Reads up to and with the marker, and not a byte more.
pub(super) async fn skip(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<(), BannerError> {
    let mut seen = Vec::new();
    loop {
        let bytes = stream.fill_buf().await?;
        if bytes.is_empty() {
            return Err(BannerError::Ended(shown(&seen)));
        }
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let count = line_end.map_or(bytes.len(), |at| at + 1);
        seen.extend(&bytes[..count]);
        stream.consume(count);
        if seen.ends_with(MARKER) {
            return Ok(());
        }
        if ends_with_marker_of_a_terminal(&seen) {
            return Err(BannerError::Terminal);
        }
        if seen.len() > MAX_BANNER_BYTES {
            return Err(BannerError::TooLong(shown(&seen)));
        }
    }
}

/// A terminal ends lines with two characters.
fn ends_with_marker_of_a_terminal(seen: &[u8]) -> bool {
    let text = MARKER.strip_suffix(b"\n").unwrap_or(MARKER);
    let line = seen.strip_suffix(b"\r\n");
    line.is_some_and(|line| line.ends_with(text))
}

fn shown(seen: &[u8]) -> String {
    let from = seen.len().saturating_sub(SHOWN_BYTES);
    let said = readable(&seen[from..]);
    match said.is_empty() {
        true => String::new(),
        false => format!(" after it had printed: {said}"),
    }
}
