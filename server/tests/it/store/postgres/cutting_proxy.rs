//! A way to the database that breaks off between a commit and its answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// The name of the socket of a server on the usual port.
const SOCKET: &str = ".s.PGSQL.5432";

pub(super) struct CuttingProxy {
    folder: TempDir,
    cuts: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl CuttingProxy {
    /// Leads to the server whose socket is in `server`.
    pub(super) fn start(server: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("bind");
        let cuts = Arc::new(AtomicUsize::new(0));
        let (server, armed) = (server.join(SOCKET), Arc::clone(&cuts));
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server");
                tokio::spawn(relay(client, server, Arc::clone(&armed)));
            }
        };
        Self {
            folder,
            cuts,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the next `times` commits take place and their answers be lost.
    pub(super) fn cut(&self, times: usize) {
        self.cuts.store(times, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        self.cuts.load(Ordering::SeqCst) == 0
    }
}

async fn relay(mut client: UnixStream, mut server: UnixStream, cuts: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(1..) = read else { return };
                let question = &asked[..read.unwrap_or(0)];
                if server.write_all(question).await.is_err() {
                    return;
                }
                if is_commit(question) && take_one(&cuts) {
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(1..) = read else { return };
                let answer = &answered[..read.unwrap_or(0)];
                if client.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn is_commit(question: &[u8]) -> bool {
    question.windows(7).any(|window| window == b"COMMIT\0")
}

fn take_one(cuts: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    let taken = cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    taken.is_ok()
}
