//! A server that is killed.

use std::thread;

use pullwright_core::sandbox::SandboxHandle;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::{Bench, account, config, host_with, open_at, run, sh};
use crate::support::in_time;

/// A server that has opened a sandbox and can be killed. It has a runtime of its own: as long as nothing of
/// that runs, the server says nothing to anybody, whatever is dropped.
pub(super) struct Doomed {
    pub(super) handle: SandboxHandle,
    kill: oneshot::Sender<()>,
    killed: oneshot::Receiver<()>,
}

impl Doomed {
    /// Opens a sandbox, runs `before` in it until its end, and starts `left`, which it leaves running.
    pub(super) async fn open(bench: &Bench, before: &str, left: &str) -> Self {
        let (account, folder) = (account(&bench.double), bench.folder.path().to_owned());
        let (before, left) = (before.to_owned(), left.to_owned());
        let (open, opened) = oneshot::channel();
        let (kill, is_killed) = oneshot::channel::<()>();
        let (tell, killed) = oneshot::channel();
        thread::spawn(move || {
            let server = Builder::new_current_thread().enable_all().build().unwrap();
            let held = server.block_on(async {
                let host = host_with(account, &folder, config(&folder, &[]));
                let sandbox = open_at(&host, &folder, None).await.0.unwrap();
                run(&*sandbox, &before).await;
                let process = sandbox.spawn(sh(&left)).await.unwrap();
                open.send(sandbox.handle()).unwrap();
                // A test that has failed is an end, too.
                let _ = is_killed.await;
                (host, sandbox, process)
            });
            // The connections are closed and everything under way is forgotten, as the kernel does it.
            drop(server);
            drop(held);
            let _ = tell.send(());
        });
        Self {
            handle: in_time(opened).await.unwrap(),
            kill,
            killed,
        }
    }

    /// Ends the server as a signal does that it cannot catch.
    pub(super) async fn kill(self) -> SandboxHandle {
        self.kill.send(()).unwrap();
        in_time(self.killed).await.unwrap();
        self.handle
    }
}
