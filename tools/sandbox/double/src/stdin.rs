//! The input of a process, and where it stands.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tonic::Status;

/// The most input of one call.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a process reads. One writes at a time, but everybody may ask where it stands.
pub(crate) struct Stdin {
    /// Gone once it is closed.
    writer: AsyncMutex<Option<Writer>>,
    standing: Mutex<Standing>,
    evictions: watch::Sender<u64>,
}

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where input stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) written: u64,
    pub(crate) is_closed: bool,
}

impl Stdin {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            writer: AsyncMutex::new(Some(writer)),
            standing: Mutex::default(),
            evictions: watch::channel(0).0,
        }
    }

    /// Writes `data`, which belongs at `offset`. What is there already is not written again. Whoever breaks
    /// it off leaves what was written until then counted.
    pub(crate) async fn write(&self, offset: u64, data: &[u8], eof: bool) -> Result<(), Status> {
        if data.len() > MAX_BYTES {
            let why = format!("{} bytes of input are too many", data.len());
            return Err(Status::invalid_argument(why));
        }
        let mut writer = self.writer.lock().await;
        let mut rest = self.not_there_yet(offset, data)?;
        while !rest.is_empty() {
            let Some(open) = writer.as_mut() else {
                return Err(Status::failed_precondition("the input is closed"));
            };
            match open.write(rest).await {
                Ok(count @ 1..) => {
                    self.standing().written += count as u64;
                    rest = &rest[count..];
                }
                // A process that takes no more is no fault of the network.
                _ => {
                    self.standing().written += rest.len() as u64;
                    self.close(&mut writer);
                    return Ok(());
                }
            }
        }
        if let Some(open) = writer.as_mut() {
            let _ = open.flush().await;
        }
        if eof {
            self.close(&mut writer);
        }
        Ok(())
    }

    /// Where it stands, however busy it is.
    pub(crate) fn stands(&self) -> Standing {
        *self.standing()
    }

    /// Ends the streams of input that are under way.
    pub(crate) fn evict(&self) {
        self.evictions.send_modify(|count| *count += 1);
    }

    /// Ends when others are to be ended.
    pub(crate) async fn evicted(&self) {
        // The sender is ours.
        let _ = self.evictions.subscribe().changed().await;
    }

    /// What of `data` is new.
    fn not_there_yet<'a>(&self, offset: u64, data: &'a [u8]) -> Result<&'a [u8], Status> {
        let written = self.standing().written;
        let Some(known) = written.checked_sub(offset) else {
            return Err(Status::out_of_range(format!(
                "byte {offset} of the input, but {written} are there"
            )));
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        Ok(data.get(known..).unwrap_or_default())
    }

    fn close(&self, writer: &mut Option<Writer>) {
        *writer = None;
        self.standing().is_closed = true;
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
