//! A way to the database that breaks off between a commit and its answer, or falls silent before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

/// The name of the socket of a server on the usual port.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

pub(super) struct CuttingProxy {
    folder: TempDir,
    faults: Arc<Faults>,
    _accepting: AbortOnDropHandle<()>,
}

/// How many more commits meet which fault.
#[derive(Default)]
struct Faults {
    cuts: AtomicUsize,
    silences: AtomicUsize,
}

impl CuttingProxy {
    /// Leads to the server whose socket is in `server`.
    pub(super) fn start(server: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("bind");
        let faults = Arc::new(Faults::default());
        let (server, armed) = (server.join(SOCKET), Arc::clone(&faults));
        let accepting = async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server");
                tokio::spawn(relay(client, server, Arc::clone(&armed)));
            }
        };
        Self {
            folder,
            faults,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the next `times` commits take place and their answers be lost.
    pub(super) fn cut(&self, times: usize) {
        self.faults.cuts.store(times, Ordering::SeqCst);
    }

    /// Lets the next connection that commits fall silent before it does, on both sides.
    pub(super) fn fall_silent(&self) {
        self.faults.silences.store(1, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        self.faults.cuts.load(Ordering::SeqCst) == 0
    }
}

async fn relay(mut client: UnixStream, mut server: UnixStream, faults: Arc<Faults>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut commits = Commits::default();
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(1..) = read else { return };
                let question = &asked[..read.unwrap_or(0)];
                let is_commit = commits.recognise(question);
                if is_commit && take_one(&faults.silences) {
                    std::future::pending::<()>().await;
                }
                if server.write_all(question).await.is_err() {
                    return;
                }
                if is_commit && take_one(&faults.cuts) {
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

/// What commits: the statement of that name, and those that append by themselves, which are sent once and then
/// named.
#[derive(Default)]
struct Commits {
    appends: Vec<Vec<u8>>,
}

impl Commits {
    fn recognise(&mut self, question: &[u8]) -> bool {
        if let Some(start) = find(question, b"\0WITH new AS") {
            let name = question[..start].rsplit(|byte| *byte == 0).next();
            let name = name.expect("a name");
            // The letter and the length of the message come before it.
            let name = &name[find(name, b"sqlx_s_").expect("a name of sqlx's")..];
            self.appends.push([b"\0", name, b"\0"].concat());
        }
        let is_named = |name: &Vec<u8>| find(question, name).is_some();
        find(question, b"COMMIT\0").is_some() || self.appends.iter().any(is_named)
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn take_one(faults: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    let taken = faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    taken.is_ok()
}
