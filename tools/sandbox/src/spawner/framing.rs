//! Frames on a stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::mux::Mux;
use super::wire::{Frame, HEADER_BYTES, WireError, body_len};

/// Reads the next frame; nothing at the end of the stream.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Frame>, FramingError> {
    let mut header = [0; HEADER_BYTES];
    if !read_or_end(stream, &mut header).await? {
        return Ok(None);
    }
    let mut body = vec![0; body_len(header)?];
    stream.read_exact(&mut body).await?;
    Ok(Some(Frame::decode(&body)?))
}

/// Writes what `mux` has to send, for ever.
pub(super) async fn write_all(
    mux: &Mux,
    stream: &mut (impl AsyncWrite + Unpin),
) -> Result<(), FramingError> {
    loop {
        let frame = match mux.try_next() {
            Some(frame) => frame,
            None => {
                stream.flush().await?;
                mux.next().await
            }
        };
        stream.write_all(&frame.encode()?).await?;
    }
}

/// Writes one frame, and does not keep it in a buffer.
pub(super) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> Result<(), FramingError> {
    stream.write_all(&frame.encode()?).await?;
    Ok(stream.flush().await?)
}

/// Why there are no more frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramingError {
    #[error("its stream broke off: {0}")]
    Stream(#[from] io::Error),
    #[error("it sent {0}")]
    Wire(#[from] WireError),
}

/// Fills `buffer`, unless the stream ends before it.
async fn read_or_end(stream: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<bool> {
    let first = stream.read(buffer).await?;
    if first == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut buffer[first..]).await.map(|_| true)
}
