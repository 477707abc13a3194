//! The server as a process of its own.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::gate::Gates;
use crate::process::{Usage, Watch};
use crate::scene::Scene;

const PULLWRIGHT: &str = env!("CARGO_BIN_EXE_pullwright");

/// Dropping it kills the process.
pub(crate) struct Server {
    pub(crate) address: String,
    process: Child,
    watch: Watch,
}

impl Server {
    /// # Errors
    /// What the server says when it does not start.
    pub(crate) async fn start(
        folder: &Path,
        scene: &Scene,
        git_host: &str,
        gates: &Gates,
    ) -> Result<Self, String> {
        let config = folder.join("plugins.toml");
        std::fs::write(&config, configuration(scene, git_host, gates)).unwrap();
        let mut process = Command::new(PULLWRIGHT)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                return Err(said.join(" "));
            };
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
            said.push(line);
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let watch = Watch::start(process.id().unwrap());
        Ok(Self {
            address,
            process,
            watch,
        })
    }

    /// Has a look at what it has open, besides those that are taken all along.
    pub(crate) fn look(&self) {
        self.watch.look();
    }

    pub(crate) fn usage(&self) -> Usage {
        self.watch.usage()
    }

    /// Ends the process; answers what it had used by then.
    pub(crate) async fn stop(mut self) -> Usage {
        let usage = self.watch.usage();
        self.process.kill().await.unwrap();
        usage
    }
}

/// Limits that are out of the way. All clients have one address here.
fn configuration(scene: &Scene, git_host: &str, gates: &Gates) -> String {
    let (sandbox, runs) = (scene.sandbox, scene.runs);
    let shown = match sandbox {
        "local" => format!("read_only = [{:?}]\n", gates.folder),
        _ => String::new(),
    };
    format!(
        "[agent]\nprovider = \"script\"\n\
         [budget]\nmax_usd = \"none\"\n\
         [repositories]\nhosts = [\"{git_host}\"]\n\
         [setup]\nrun = []\n[checks]\nrun = []\n\
         [providers.script]\nwire_api = \"scripted\"\nscript = \"script.json\"\n\
         [tools.bash]\nbuiltin = \"bash\"\nstartup_timeout_sec = 300\n\
         [sandbox]\nkind = \"{sandbox}\"\n{shown}\
         [server]\ndata_dir = \"data\"\nmax_concurrent_runs = {runs}\n\
         requests_per_minute = 60000\nrequest_burst = 10000\n"
    )
}
