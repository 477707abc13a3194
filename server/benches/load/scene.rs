//! One row: so many runs, from their start to their end.

use std::fmt;
use std::time::Duration;

use pullwright_core::log::now_ms;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::append::{self, Appended};
use crate::clients::{Crowd, Heard};
use crate::gate::Gates;
use crate::process::Usage;
use crate::remote;
use crate::script;
use crate::server::Server;

/// A row that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub(crate) struct Scene {
    pub(crate) sandbox: &'static str,
    pub(crate) runs: usize,
    /// At least one for each run.
    pub(crate) clients: usize,
}

/// What a row says.
pub(crate) struct Figures {
    /// Runs that the server had under way at the same time, as it counts them.
    pub(crate) at_once: usize,
    pub(crate) heard: Heard,
    /// What the server used before the first run, and by the end.
    pub(crate) before: Usage,
    pub(crate) after: Usage,
    pub(crate) appended: Appended,
}

impl Scene {
    /// Starts a server, has all runs carried out, and stores their events once more.
    ///
    /// # Errors
    /// What the server says if it does not start, such as that this machine has no such sandbox.
    pub(crate) async fn play(&self) -> Result<Figures, String> {
        let folder = remote::make_folder();
        let played = timeout(PATIENCE, self.play_in(&folder)).await;
        played.unwrap_or_else(|_| panic!("{self}: not over after {PATIENCE:?}"))
    }

    async fn play_in(&self, folder: &TempDir) -> Result<Figures, String> {
        let path = folder.path().canonicalize().unwrap();
        let gates = Gates::new(&path);
        script::write(&path, &gates);
        let remote = remote::start(&path).await;
        let server = Server::start(&path, self, &remote.host(), &gates).await?;
        let before = server.usage();
        let mut crowd = Crowd::start(&server.address, &remote.url(remote::PROJECT), self).await;
        crowd.all_wait_for_work().await;
        let at_once = crowd.active().await;
        server.look();
        let opened_ms = now_ms();
        gates.work.open();
        crowd.all_wait_for_end().await;
        let work = opened_ms..=now_ms();
        server.look();
        gates.end.open();
        let heard = crowd.heard(work).await;
        let after = server.stop().await;
        let appended = append::measure(&path).await;
        Ok(Figures {
            at_once,
            heard,
            before,
            after,
            appended,
        })
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs in the sandbox `{}`", self.runs, self.sandbox)
    }
}
