//! A way to the database over lines on which questions take their time.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::cutting_proxy::SOCKET;

/// How much is sent on at once.
const PIECE_BYTES: usize = 16 << 10;

pub(super) struct SlowProxy {
    folder: TempDir,
    _accepting: AbortOnDropHandle<()>,
}

impl SlowProxy {
    /// Leads to the server whose socket is in `server`, with so many bytes a second on each line.
    pub(super) fn start(server: &Path, bytes_per_second: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("bind");
        let server = server.join(SOCKET);
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server");
                tokio::spawn(relay(client, server, bytes_per_second));
            }
        };
        Self {
            folder,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

async fn relay(client: UnixStream, server: UnixStream, bytes_per_second: u32) {
    let (mut asking, mut answered) = client.into_split();
    let (mut answering, mut asked) = server.into_split();
    let there = async {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(read @ 1..) = asking.read(&mut piece).await {
            let carried = Duration::from_secs(1).mul_f64(read as f64 / f64::from(bytes_per_second));
            tokio::time::sleep(carried).await;
            if asked.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    };
    let back = tokio::io::copy(&mut answering, &mut answered);
    tokio::select! {
        () = there => {}
        _ = back => {}
    }
}
